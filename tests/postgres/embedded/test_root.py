"""The embedded server if root starts it."""

import os
import signal
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from app.postgres.embedded.cluster import Cluster
from app.postgres.embedded.errors import EmbeddedServerError
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


@needs_root
@pytest.mark.parametrize("name", ["postmaster.pid", "PG_VERSION"])
async def test_its_user_cannot_make_root_use_another_file(folder: Path, use: Use, name: str) -> None:
    user = use(folder).ready()
    os.kill(user.server, signal.SIGKILL)
    user.kill()
    victim = folder.parent / "victim"
    victim.write_text("1\nof root\n")
    (folder / "data" / name).unlink()
    (folder / "data" / name).symlink_to(victim)
    with pytest.raises(EmbeddedServerError, match=f"the file {name} of the database is not used"):
        async with embedded_server(folder, databases=DATABASES):
            pass
    assert victim.read_text() == "1\nof root\n"


@needs_root
async def test_without_the_guard_root_would_write_to_another_file(
    folder: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = use(folder).ready()
    os.kill(user.server, signal.SIGKILL)
    user.kill()
    victim = folder.parent / "victim"
    victim.write_text("1\nof root\n")
    (folder / "data" / "postmaster.pid").unlink()
    (folder / "data" / "postmaster.pid").symlink_to(victim)
    data = folder / "data"
    monkeypatch.setattr("app.postgres.embedded.cluster.read_file", lambda _, name: (data / name).read_text())
    monkeypatch.setattr(
        "app.postgres.embedded.cluster.replace_file",
        lambda _, name, text, *__: (data / name).write_text(text),
    )
    with suppress(EmbeddedServerError):
        async with embedded_server(folder, databases=DATABASES):
            pass
    assert victim.read_text() == f"{os.getpid()}\nof root\n"


@needs_root
@pytest.mark.parametrize("name", ["server.log", "server.log.1", "start.lock", "users.lock", "watchdog.lock"])
async def test_a_link_in_its_folder_leads_root_nowhere(folder: Path, name: str) -> None:
    give_away(folder)
    victim = folder.parent / "victim"
    victim.write_text("of root\n")
    (folder / name).symlink_to(victim)
    with suppress(EmbeddedServerError):
        async with embedded_server(folder, databases=DATABASES):
            os.truncate(folder / "server.log", 5_000_000)
            Cluster.trim_log(SimpleNamespace(log=folder / "server.log"))  # type: ignore[arg-type]
    assert victim.read_text() == "of root\n"


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
