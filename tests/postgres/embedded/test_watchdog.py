"""The embedded server after all processes that used it were killed."""

import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import asyncpg
import psutil
import pytest

from app.postgres.embedded import watchdog
from app.postgres.embedded.server import embedded_server
from tests.postgres.conftest import servers
from tests.postgres.embedded.serving import DATABASES, Use, keep, kept, needs_root, socket_folder
from tests.postgres.embedded.user import postmaster
from tests.support.waiting import until

PROGRAM = str(watchdog.__file__)


def watchdogs(folder: Path) -> list[psutil.Process]:
    """Return the watchdogs of a folder, zombies of this process left out."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if PROGRAM in (process.info["cmdline"] or []):
            files = [file.path for file in process.open_files()]
            if str(folder / "watchdog.lock") in files:
                found.append(process)
    return found


def is_there(path: Path) -> bool:
    return path.exists()


async def test_the_server_ends_by_itself_and_has_lost_nothing(folder: Path, use: Use) -> None:
    users = [use(folder).ready() for _ in range(2)]
    await keep(users[0].dsn, 1)
    sockets = await socket_folder(users[0].dsn)
    for user in users:
        user.kill()
    await until(lambda: servers(folder) == [], 30)
    await until(lambda: watchdogs(folder) == [], 30)
    assert "database system is shut down" in (folder / "server.log").read_text()
    assert not is_there(folder / "data" / "postmaster.pid")
    assert not is_there(sockets)
    async with embedded_server(folder, databases=DATABASES) as server:
        assert await kept(server.dsn("scenarios")) == [1]


async def test_it_goes_on_while_another_process_uses_it(folder: Path, use: Use) -> None:
    starter = use(folder).ready()
    other = use(folder).ready()
    starter.kill()
    (guard,) = watchdogs(folder)
    before = guard.num_ctx_switches().voluntary
    await until(lambda: guard.num_ctx_switches().voluntary >= before + 3, 30)  # it has looked twice
    await keep(other.dsn, 1)
    assert await postmaster(other.dsn) == starter.server
    other.kill()
    await until(lambda: servers(folder) == [], 30)


async def test_a_process_that_starts_while_the_server_stops_waits_for_it(folder: Path, use: Use) -> None:
    user = use(folder).ready()
    await keep(user.dsn, 1)
    connection = await asyncpg.connect(user.dsn)
    backend = connection.get_server_pid()
    os.kill(backend, signal.SIGSTOP)  # delays the shutdown
    user.kill()
    pid_file = folder / "data" / "postmaster.pid"
    await until(lambda: "stopping" in pid_file.read_text(), 30)
    async with anyio.create_task_group() as tasks:

        async def start_again() -> None:
            async with embedded_server(folder, databases=DATABASES) as server:
                assert await kept(server.dsn("scenarios")) == [1]

        tasks.start_soon(start_again)
        await anyio.wait_all_tasks_blocked()
        os.kill(backend, signal.SIGCONT)
    connection.terminate()
    assert servers(folder) == []


async def test_killed_and_started_again_and_again_it_keeps_everything(folder: Path, use: Use) -> None:
    for number in range(5):
        user = use(folder).ready()
        await keep(user.dsn, number)
        user.kill()
    async with embedded_server(folder, databases=DATABASES) as server:
        assert await kept(server.dsn("scenarios")) == list(range(5))
    assert servers(folder) == []


async def test_the_last_to_leave_ends_the_watchdog_too(folder: Path) -> None:
    async with embedded_server(folder, databases=DATABASES):
        assert len(watchdogs(folder)) == 1
    assert watchdogs(folder) == []


@needs_root
async def test_it_runs_as_the_databases_account(folder: Path) -> None:
    async with embedded_server(folder, databases=DATABASES):
        (guard,) = watchdogs(folder)
        owner = (folder / "data").stat().st_uid
        await until(lambda: guard.uids().effective == owner, 20)
        assert set(guard.uids()) == {owner}


@pytest.mark.parametrize("text", ["", "x", "1\n2\n3", "x\n/data\n0\n5432\n/tmp\n"])
def test_a_pid_file_that_is_just_written_is_not_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    data = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        assert watchdog._read_pid_file(data) is None
    finally:
        os.close(data)


@pytest.mark.skipif(sys.platform != "linux", reason="tells by the socket who listens")
def test_a_process_that_does_not_listen_is_not_the_server(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / ".s.PGSQL.5432"))
        server.listen()
        assert watchdog.listens(os.getpid(), tmp_path, "5432")
        assert not watchdog.listens(os.getppid(), tmp_path, "5432")
    assert not watchdog.listens(os.getpid(), tmp_path, "5432")
