"""The embedded server, used by one or several processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import asyncpg
import psutil
import pytest

from app.postgres import TRANSIENT
from app.postgres.embedded.locks import FileLock
from app.postgres.embedded.server import embedded_server
from tests.postgres.conftest import servers
from tests.postgres.embedded.serving import DATABASES, Use, keep, kept, socket_folder, unfinished, value
from tests.postgres.embedded.user import postmaster
from tests.support.waiting import until


async def test_two_databases_are_kept_in_one_server_and_it_stops_with_its_only_user(folder: Path) -> None:
    for run in range(2):
        async with embedded_server(folder, databases=DATABASES) as server:
            for database in DATABASES:
                dsn = server.dsn(database)
                await keep(dsn, run)
                assert await kept(dsn) == list(range(run + 1))
                assert await value(dsn, "SELECT current_database()") == database
                assert await value(dsn, "SHOW server_encoding") == "UTF8"
                assert await value(dsn, "SHOW fsync") == "on"
            assert await postmaster(server.dsn("scenarios")) == await postmaster(server.dsn("predictions"))
            sockets = await socket_folder(dsn)
        assert servers(folder) == []
        assert not sockets.exists()


def connecting_as_another_user(path: Path) -> str:
    """Return the error that another user of this machine gets when it connects to the socket."""
    script = """
import os, socket, sys
os.setgroups([])
os.setgid(12345)
os.setuid(12345)
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    print(type(error).__name__)
"""
    return subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True).stdout.strip()


async def test_it_can_be_reached_by_its_user_alone(folder: Path) -> None:
    async with embedded_server(folder, databases=DATABASES) as server:
        dsn = server.dsn("scenarios")
        assert await value(dsn, "SHOW listen_addresses") == ""
        sockets = await socket_folder(dsn)
        path = sockets / ".s.PGSQL.5432"
        assert len(str(path)) < 100
        for file in (sockets, path):
            assert file.stat().st_mode & 0o777 == 0o700
            assert file.stat().st_uid == (folder / "data").stat().st_uid
        if os.geteuid() == 0:
            assert connecting_as_another_user(path) == "PermissionError"
            sockets.chmod(0o755)
            assert connecting_as_another_user(path) == "PermissionError"


async def test_processes_that_start_at_once_share_one_server_until_the_last_leaves(
    folder: Path, use: Use
) -> None:
    users = [use(folder) for _ in range(3)]
    assert len({user.ready().server for user in users}) == 1
    for user in users[:-1]:
        user.leave()
        await keep(users[-1].dsn, 1)
    users[-1].leave()
    assert servers(folder) == []


async def test_ctrl_c_on_the_process_that_started_it_leaves_it_to_the_others(folder: Path, use: Use) -> None:
    starter = use(folder).ready()
    async with embedded_server(folder, databases=DATABASES) as server:
        os.killpg(starter.process.pid, signal.SIGINT)
        starter.failure()
        assert await postmaster(server.dsn("scenarios")) == starter.server


async def test_a_server_whose_users_were_killed_is_used_or_started_again_and_stopped_at_the_end(
    folder: Path, use: Use
) -> None:
    user = use(folder).ready()
    await keep(user.dsn, 1)
    user.kill()
    async with embedded_server(folder, databases=DATABASES) as server:
        assert await kept(server.dsn("scenarios")) == [1]
    assert servers(folder) == []


async def test_a_killed_server_is_started_again_with_what_was_committed(folder: Path, use: Use) -> None:
    user = use(folder).ready()
    await keep(user.dsn, 1)
    os.kill(user.server, signal.SIGKILL)
    user.kill()
    async with embedded_server(folder, databases=DATABASES) as server:
        assert await postmaster(server.dsn("scenarios")) != user.server
        assert await kept(server.dsn("scenarios")) == [1]


async def test_a_statement_that_outlives_its_server_is_waited_for(folder: Path, use: Use) -> None:
    user = use(folder).ready()
    connection = await asyncpg.connect(user.dsn)
    backend = connection.get_server_pid()
    async with anyio.create_task_group() as tasks:

        async def compute() -> None:
            with pytest.raises(TRANSIENT):
                await connection.execute("SELECT sum(n) FROM generate_series(1, 1000000000000) n")

        tasks.start_soon(compute)
        running = "SELECT state = 'active' FROM pg_stat_activity WHERE pid = $1"
        await until(lambda: value(user.dsn, running, backend))
        user.kill()
        os.kill(user.server, signal.SIGKILL)
        await until(lambda: [process.pid for process in servers(folder)] == [backend])
        connection.terminate()
        async with embedded_server(folder, databases=DATABASES) as server:
            assert backend not in {process.pid for process in servers(folder)}
            await keep(server.dsn("scenarios"), 1)


async def test_a_server_that_dies_in_use_is_back_under_its_address(folder: Path) -> None:
    async with embedded_server(folder, databases=DATABASES) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(server.watch)
        dsn = server.dsn("scenarios")
        await keep(dsn, 1)
        killed = await postmaster(dsn)
        os.kill(killed, signal.SIGKILL)

        async def back() -> bool:
            try:
                return await postmaster(dsn) != killed
            except TRANSIENT:
                return False

        await until(back)
        assert await kept(dsn) == [1]
        tasks.cancel_scope.cancel()


@contextmanager
def bystander(owner: os.stat_result) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the server's user that is not part of the server."""
    other = owner.st_uid if os.geteuid() != owner.st_uid else None
    process = subprocess.Popen(["sleep", "60"], user=other)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_pid_file_that_names_another_live_process_is_no_obstacle(folder: Path, use: Use) -> None:
    user = use(folder).ready()
    await keep(user.dsn, 1)
    file = folder / "data" / "postmaster.pid"
    socket_lock = await socket_folder(user.dsn) / ".s.PGSQL.5432.lock"
    os.kill(user.server, signal.SIGKILL)
    user.kill()
    with bystander(file.stat()) as other:
        for left in (file, socket_lock):
            assert str(user.server) in left.read_text()
            left.write_text(left.read_text().replace(str(user.server), str(other.pid)))
        async with embedded_server(folder, databases=DATABASES) as server:
            assert await kept(server.dsn("scenarios")) == [1]
        assert other.poll() is None


async def test_an_initdb_that_was_killed_is_done_again(folder: Path, use: Use) -> None:
    user = use(folder)
    await until(lambda: list(folder.glob("new-*/base")))
    process = psutil.Process(user.process.pid)
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # initdb starts many short ones
            member.kill()
    user.failure()
    assert not (folder / "data").exists()
    (left,) = unfinished(folder)
    with FileLock.on_folder(left) as lock:
        await until(lock.try_exclusive)
    async with embedded_server(folder, databases=DATABASES) as server:
        await keep(server.dsn("scenarios"), 1)
    assert not unfinished(folder)


async def test_processes_with_different_temporary_folders_meet(
    folder: Path, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/var/tmp")  # noqa: S108 - any other than this process has
    user = use(folder).ready()
    monkeypatch.undo()
    async with embedded_server(folder, databases=DATABASES) as server:
        assert server.dsn("scenarios") == user.dsn
        assert await postmaster(server.dsn("scenarios")) == user.server
        user.leave()


async def test_a_server_that_does_not_stop_when_asked_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ((signal.SIGINT, 0.1), (signal.SIGQUIT, 0.1), (signal.SIGKILL, 0.1))
    monkeypatch.setattr("app.postgres.embedded.server._STOP", asked)
    async with embedded_server(folder, databases=DATABASES) as server:
        connection = await asyncpg.connect(server.dsn("scenarios"))
        stuck = connection.get_server_pid()
        os.kill(stuck, signal.SIGSTOP)
    assert [process.pid for process in servers(folder)] == [stuck]
    os.kill(stuck, signal.SIGCONT)
    await until(lambda: servers(folder) == [])
    connection.terminate()


async def test_leaving_while_it_starts_leaves_nothing_behind(folder: Path) -> None:
    patience = 0.02
    started = False
    while not started:
        with anyio.move_on_after(patience):
            async with embedded_server(folder, databases=DATABASES):
                started = True
        assert servers(folder) == []
        assert not unfinished(folder)
        patience *= 2


async def test_a_failure_in_use_is_raised_as_it_is_and_stops_the_server(folder: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with embedded_server(folder, databases=DATABASES):
            raise KeyError("mine")
    assert servers(folder) == []


async def test_its_log_stays_short(folder: Path) -> None:
    async with embedded_server(folder, databases=DATABASES) as server, anyio.create_task_group() as tasks:
        log = folder / "server.log"
        with log.open("a") as file:
            file.write("x" * 5_000_000)
        tasks.start_soon(server.watch)
        await until(lambda: log.stat().st_size == 0)
        with pytest.raises(asyncpg.UndefinedTableError):
            await value(server.dsn("scenarios"), "SELECT * FROM nowhere")
        assert "nowhere" in log.read_text()
        assert (folder / "server.log.1").stat().st_size > 4_000_000
        tasks.cancel_scope.cancel()
