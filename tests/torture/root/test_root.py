"""The service as root: the user that runs its database leads root to no other file, folder or process.

The data folder is that user's, so the tests put there what it could: links, and a pid file that
names a process and a folder of root. The system shows what happened to these. Each attack is also tried
without the guard.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from anyio import create_task_group, move_on_after, sleep

from app.postgres.embedded.errors import EmbeddedServerError
from app.postgres.embedded.locks import FileLock
from app.postgres.embedded.server import embedded_server
from tests.postgres.conftest import servers
from tests.postgres.embedded.serving import DATABASES, give_away
from tests.postgres.embedded.user import postmaster
from tests.support.databases import temporary_folder
from tests.torture.battery import Battery
from tests.torture.root import unguarded

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="root alone can become another user"
)

ROW = 14
CONTENT = "1\nof root\n"
FILES = (
    "data/postmaster.pid",
    "data/PG_VERSION",
    "server.log",
    "server.log.1",
    "start.lock",
    "users.lock",
    "watchdog.lock",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """The folder of a server that was never started. None of its processes may be left after the test."""
    with temporary_folder() as parent:
        yield parent / "postgres"
        left = servers(parent / "postgres")
        for process in left:
            process.kill()
        assert left == []


async def serve(folder: Path) -> None:
    """Run the server for a moment, if it starts."""
    with suppress(EmbeddedServerError):
        async with embedded_server(folder, databases=DATABASES):
            pass


async def plant_link(folder: Path, name: str) -> Path:
    """Put a link in place of a file of the server's user; return the file of root that it leads to."""
    await serve(folder)
    give_away(folder)
    victim = folder.parent / "victim"
    victim.write_text(CONTENT)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(victim)
    return victim


def is_untouched(victim: Path) -> bool:
    """Return whether a file has the content and the owner that it had."""
    return victim.read_text() == CONTENT and victim.stat().st_uid == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FILES)
async def test_a_link_leads_root_to_no_other_file(folder: Path, battery: Battery, name: str) -> None:
    victim = await plant_link(folder, name)
    await serve(folder)
    assert is_untouched(victim)
    battery.passed(ROW, f"a link in place of {name}", "1 link", "0 files of root read or changed")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["data/postmaster.pid", "server.log"])
async def test_links_that_are_followed_would_be_noticed(
    folder: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    victim = await plant_link(folder, name)
    unguarded.follow_links(monkeypatch)
    await serve(folder)
    assert not is_untouched(victim)
    battery.unguarded(ROW, f"refusing links ({name})", "1 link", "1 file of root written")


async def pretend_to_serve(folder: Path) -> tuple[bool, bool]:
    """Have root meet, and stop, a server whose process and folder the database's user has made up.

    Returns whether root's process still runs, and whether root's folder is still there.
    """
    await serve(folder)
    treasure = folder.parent / "treasure"
    treasure.mkdir()
    (treasure / "file").write_text(CONTENT)
    process = _start_victim()
    lines = [process.pid, folder / "data", 0, 5432, treasure, "", 0, "ready"]
    (folder / "data" / "postmaster.pid").write_text("\n".join(map(str, lines)))
    give_away(folder)
    with socket.socket(socket.AF_UNIX) as listener, FileLock.on_folder(folder / "data") as lock:
        listener.bind(str(treasure / ".s.PGSQL.5432"))  # by a link that leads elsewhere a moment later
        listener.listen()
        lock.try_exclusive()
        async with create_task_group() as group:
            group.start_soon(_release, lock)
            with move_on_after(4), suppress(EmbeddedServerError):
                async with embedded_server(folder, databases=DATABASES):
                    pass
    runs = process.poll() is None
    process.kill()
    process.wait()
    return runs, (treasure / "file").exists()


def _start_victim() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])


async def _release(lock: FileLock) -> None:
    await sleep(6)  # how long the other process holds it
    lock.release()


@pytest.mark.timeout(120)
async def test_a_server_that_is_made_up_costs_root_nothing(folder: Path, battery: Battery) -> None:
    assert await pretend_to_serve(folder) == (True, True)
    battery.passed(ROW, "a server that is made up", "1 process and 1 folder of root", "0 ended, 0 removed")


@pytest.mark.timeout(120)
async def test_trust_in_the_pid_file_would_be_noticed(
    folder: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    unguarded.trust_the_pid_file(monkeypatch)
    assert await pretend_to_serve(folder) == (False, False)
    battery.unguarded(ROW, "checks of a server's process id and folder", "1 server", "1 ended, 1 removed")


async def count_secrets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return how many secrets of the service's environment the database server has."""
    names = ("VA_API_KEYS", "AWS_CONTENT_ACCESS_KEY", "PGPASSWORD")
    for name in names:
        monkeypatch.setenv(name, "s3cret")
    async with embedded_server(folder, databases=DATABASES) as server:
        found = psutil.Process(await postmaster(server.dsn("scenarios"))).environ()
    return sum(name in found for name in names)


@pytest.mark.timeout(120)
async def test_the_database_gets_no_secret_of_the_environment(
    folder: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await count_secrets(folder, monkeypatch) == 0
    battery.passed(ROW, "the environment of the database server", "3 secrets", "0 passed on")


@pytest.mark.timeout(120)
async def test_an_environment_that_is_passed_on_would_be_noticed(
    folder: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    unguarded.keep_the_environment(monkeypatch)
    assert await count_secrets(folder, monkeypatch) == 3
    battery.unguarded(ROW, "a list of what is passed on", "3 secrets", "3 passed on")
