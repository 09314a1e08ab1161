"""A folder of Postgres data: making it, and starting a server on it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen, run
from typing import Any

from anyio import CancelScope, move_on_after, to_thread

from .account import Account
from .binaries import major_version
from .errors import EmbeddedServerError
from .locks import FileLock

SUPERUSER = "postgres"
PORT = 5432  # of the socket's name; there is no TCP listener
_LOG_LIMIT = 4 * 2**20
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "cluster_name": "videoanalysis",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",  # bounds the recovery after a crash
    "max_parallel_workers_per_gather": "0",  # the cores are the videos'
    "log_checkpoints": "off",
    # A backend whose client is gone, or whose server was killed, ends within seconds instead of finishing.
    "client_connection_check_interval": "1s",
}


class Cluster:
    """The data below `folder`, with the programs and the user that serve it.

    Whoever serves the data holds a lock on its folder: the server inherits it with all its processes, so
    that it is free exactly when none of them is left, whatever was killed.
    """

    def __init__(self, folder: Path, binaries: Path, account: Account, settings: Mapping[str, str]) -> None:
        self.data = folder / "data"
        self.log = folder / "server.log"
        self._folder = folder
        self._binaries = binaries
        self._version = major_version(binaries, account)
        self._account = account
        self._settings = {**_SETTINGS, **settings}
        self._log_start = 0

    async def initialise(self) -> None:
        """Make the data folder where there is none. Raises EmbeddedServerError."""
        await to_thread.run_sync(self._remove_unfinished)
        if await to_thread.run_sync(self._is_made):
            return
        fresh = Path(await to_thread.run_sync(self._fresh_folder))
        try:
            with FileLock.on_folder(fresh) as lock:
                lock.try_exclusive()
                # In a thread, since uvloop's processes cannot change their user; it takes a second or two.
                initdb = partial(
                    run,
                    [
                        self._binaries / "initdb", "-D", self._path(fresh, lock), "-U", SUPERUSER,
                        "-A", "trust", "-E", "UTF8", *self._locale(), "--no-instructions",
                    ],
                    check=False, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, text=True, errors="replace",
                    **self._process_options(lock),
                )  # fmt: skip
                result = await to_thread.run_sync(initdb)
            if result.returncode != 0:
                said = _complaint(result.stdout)
                raise EmbeddedServerError(f"the database in {self._folder} cannot be made: {said}")
            await to_thread.run_sync(self._keep, fresh)
        except BaseException:
            with CancelScope(shield=True):
                await self._discard(fresh)
            raise

    def spawn(self, sockets: Path) -> Popen[bytes] | None:
        """Start a server that listens in `sockets`, or return None where one holds the data already."""
        with FileLock.on_folder(self.data) as lock:
            if not lock.try_exclusive():
                return None
            self._disown()
            self._clear(sockets)
            with self.log.open("ab") as log:
                self._log_start = log.tell()
                return Popen(
                    [
                        self._binaries / "postgres", "-D", self._path(self.data, lock), "-k", sockets,
                        "-p", str(PORT), *(f"--{name}={value}" for name, value in self._settings.items()),
                    ],
                    stdin=DEVNULL, stdout=log, stderr=log, **self._process_options(lock),
                )  # fmt: skip

    def is_held(self) -> bool:
        """Whether any process of a server is left."""
        try:
            with FileLock.on_folder(self.data) as lock:
                return not lock.try_shared()
        except FileNotFoundError:
            return False

    def published(self) -> tuple[int, Path] | None:
        """The process id and the socket folder that a server wrote down, which may be gone by now."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return int(lines[0]), Path(lines[4])
        except (FileNotFoundError, IndexError, ValueError):  # none, or still being written
            return None

    def last_words(self) -> str:
        """Why the server that was spawned last ended, by its log."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return _complaint(log.read().decode(errors="replace"))

    def trim_log(self) -> None:
        """Keep the log bounded: past a limit it is moved to a second file and begins anew."""
        with suppress(FileNotFoundError):  # somebody removed it
            if self.log.stat().st_size > _LOG_LIMIT:
                shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
                os.truncate(self.log, 0)  # the server appends

    def _is_made(self) -> bool:
        try:
            made_by = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            return False
        if made_by != str(self._version):
            raise EmbeddedServerError(
                f"{self.data} was made by PostgreSQL {made_by} and {self._binaries} is {self._version}:"
                f" give the folder of PostgreSQL {made_by}'s programs, or move the data away to begin anew"
            )
        return True

    def _remove_unfinished(self) -> None:
        """Remove what an initdb that was killed has left."""
        for left in self._folder.glob("new-*"):
            with FileLock.on_folder(left) as lock:
                if lock.try_exclusive():  # none of its processes is left
                    shutil.rmtree(left, ignore_errors=True)

    def _fresh_folder(self) -> str:
        fresh = tempfile.mkdtemp(prefix="new-", dir=self._folder)
        if self._account.dropped:
            os.chown(fresh, self._account.uid, self._account.gid)
        return fresh

    async def _discard(self, fresh: Path) -> None:
        with FileLock.on_folder(fresh) as lock:
            with move_on_after(5):  # what an initdb that was cancelled has started ends by itself
                await lock.exclusive()
            await to_thread.run_sync(shutil.rmtree, fresh)

    def _keep(self, fresh: Path) -> None:
        with FileLock.on_folder(self._folder) as parent:
            fresh.rename(self.data)
            os.fsync(parent.fileno())

    def _locale(self) -> list[str]:
        if self._version >= 17:
            return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        return ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]

    def _path(self, folder: Path, lock: FileLock) -> str:
        """How the server's user gets at `folder`, even below folders that are closed to it, such as /root."""
        if self._account.dropped and sys.platform == "linux":
            return f"/proc/self/fd/{lock.fileno()}"
        return str(folder)

    def _process_options(self, lock: FileLock) -> dict[str, Any]:
        # Clients' variables would be taken for the server's, and our own secrets are none of its business.
        environment = {name: os.environ[name] for name in os.environ if not name.startswith(("PG", "VA_"))}
        return {
            "cwd": "/",
            "env": environment | {"LC_ALL": "C", "TZ": "UTC"},
            "umask": 0o077,
            "pass_fds": (lock.fileno(),),
            "start_new_session": True,  # Ctrl-C on this process must not take the server from others
            **self._account.process_options(),
        }

    def _disown(self) -> None:
        """Put this process's id into what a killed server left.

        Postgres refuses to start while the id in there is any live process but its own parent. That no
        server lives is known by the lock; the rest of the file lets Postgres look for left shared memory.
        """
        file = self.data / "postmaster.pid"
        if file.exists():
            _, _, rest = file.read_text().partition("\n")
            file.write_text(f"{os.getpid()}\n{rest}")

    def _clear(self, sockets: Path) -> None:
        """Make the folder of the socket, closed to every other user, or empty it."""
        with suppress(FileExistsError):
            sockets.mkdir(mode=0o700)
        # Through a descriptor: its parent is open to everybody, so the name could come to mean another.
        try:
            with FileLock(sockets, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as folder:
                os.fchown(folder.fileno(), self._account.uid, self._account.gid)
                os.fchmod(folder.fileno(), 0o700)
                for left in os.listdir(folder.fileno()):  # noqa: PTH208 - a descriptor
                    os.unlink(left, dir_fd=folder.fileno())
        except PermissionError:
            raise EmbeddedServerError(f"{sockets} is somebody else's: remove it, or set TMPDIR") from None


def _complaint(output: str) -> str:
    """The line of the output that says what is wrong."""
    lines = [line for line in output.splitlines() if line.strip()]
    for mark in ("PANIC:", "FATAL:", "error:"):
        for line in reversed(lines):
            if mark in line:
                return line.split(mark, 1)[1].strip()
    return lines[-1].strip() if lines else "it says nothing"
