"""The embedded server if root starts it."""

from pathlib import Path

import psutil
import pytest

from app.postgres.embedded.server import embedded_server
from tests.postgres.conftest import servers
from tests.postgres.embedded.serving import DATABASES, Use, give_away, keep, needs_root
from tests.postgres.embedded.user import postmaster


@needs_root
async def test_root_serves_a_folder_that_only_root_can_reach(folder: Path) -> None:
    closed = folder.parent
    before = closed.stat()
    assert before.st_mode & 0o777 == 0o700
    async with embedded_server(folder, databases=DATABASES) as server:
        process = psutil.Process(await postmaster(server.dsn("scenarios")))
        assert process.uids().effective == (folder / "data").stat().st_uid != 0
    assert (closed.stat().st_mode, closed.stat().st_uid) == (before.st_mode, before.st_uid)


@needs_root
async def test_root_serves_data_as_the_user_that_owns_it(folder: Path) -> None:
    async with embedded_server(folder, databases=DATABASES):
        pass
    give_away(folder)
    async with embedded_server(folder, databases=DATABASES) as server:
        process = psutil.Process(await postmaster(server.dsn("scenarios")))
        assert process.username() == "daemon"


async def test_the_server_gets_none_of_the_secrets_in_the_environment(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("VA_API_KEYS", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD", "HOME"):
        monkeypatch.setenv(name, "s3cret")
    async with embedded_server(folder, databases=DATABASES) as server:
        process = await postmaster(server.dsn("scenarios"))
        assert "s3cret" not in str(psutil.Process(process).environ())


@needs_root
async def test_a_normal_user_runs_it_too(folder: Path, use: Use, open_binaries: Path) -> None:
    folder.parent.chmod(0o755)
    give_away(folder)
    user = use(folder, "--as", "daemon", "--binaries", str(open_binaries)).ready()
    assert psutil.Process(user.server).username() == "daemon"
    await keep(user.dsn, 1)
    user.leave()
    assert servers(folder) == []
