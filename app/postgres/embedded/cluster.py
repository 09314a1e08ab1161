"""A PostgreSQL data folder: create it, and start a server on it."""

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen, run
from typing import Any

from anyio import CancelScope, move_on_after, to_thread

from .account import Account
from .binaries import major_version
from .data_files import open_log, read_file, replace_file
from .environment import server_environment
from .errors import EmbeddedServerError
from .locks import FileLock

SUPERUSER = "postgres"
PORT = 5432  # part of the socket's name; the server does not listen on TCP
_PID_FILE = "postmaster.pid"
_WATCHDOG = Path(__file__).with_name("watchdog.py")
_NO_SPACE = os.strerror(errno.ENOSPC)
_DENIED = os.strerror(errno.EACCES)
_LOG_LIMIT = 4 * 2**20
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "cluster_name": "videoanalysis",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",  # bounds the recovery after a crash
    "max_parallel_workers_per_gather": "0",  # leave the cores to video decoding
    "log_checkpoints": "off",
    # A backend whose client or server was killed ends within seconds, instead of finishing its statement.
    "client_connection_check_interval": "1s",
}


class Cluster:
    """The data folder below `folder`, and the programs and the user that serve it.

    All processes of a server inherit a lock on the data folder, so the lock is free exactly when none of them
    is left, whichever was killed.
    """

    def __init__(self, folder: Path, binaries: Path, account: Account, settings: Mapping[str, str]) -> None:
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.start_lock = folder / "start.lock"
        self.users_lock = folder / "users.lock"
        self._folder = folder
        self._binaries = binaries
        self._version = major_version(binaries, account)
        self._account = account
        self._settings = {**_SETTINGS, **settings}
        self._log_start = 0

    async def initialise(self) -> None:
        """Create the data folder if it is missing. Raises EmbeddedServerError."""
        await to_thread.run_sync(self._remove_unfinished)
        if await to_thread.run_sync(self._is_initialised):
            return
        fresh = Path(await to_thread.run_sync(self._fresh_folder))
        try:
            with FileLock.on_folder(fresh) as lock:
                lock.try_exclusive()
                # In a thread, because uvloop cannot start processes as another user; takes 1 to 2 s.
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
                reason = _error_line(result.stdout)
                advice = (
                    "check who owns the folder, and the umask" if _DENIED in reason else "free some space"
                )
                raise EmbeddedServerError(
                    f"the database in {self._folder} cannot be created: {reason};"
                    f" {advice}, or choose another data folder (VA_DATA_DIR)"
                )
            await to_thread.run_sync(self._install, fresh)
        except BaseException:
            with CancelScope(shield=True):
                await self._discard(fresh)
            raise

    def spawn(self, sockets: Path) -> Popen[bytes] | None:
        """Start a server with its socket in `sockets`, or return None if another one has the data."""
        with FileLock.on_folder(self.data) as lock:
            if not lock.try_exclusive():
                return None
            self._rewrite_pid_file(lock)
            self._prepare_socket_folder(sockets)
            with open_log(self.log) as log:
                self._log_start = log.tell()
                return Popen(
                    [
                        self._binaries / "postgres", "-D", self._path(self.data, lock), "-k", sockets,
                        "-p", str(PORT), *(f"--{name}={value}" for name, value in self._settings.items()),
                    ],
                    stdin=DEVNULL, stdout=log, stderr=log, **self._process_options(lock),
                )  # fmt: skip

    def start_watchdog(self) -> Popen[bytes] | None:
        """Start the process that stops the server if all its users are killed; None if there is one."""
        with ExitStack() as stack:
            own_lock = stack.enter_context(FileLock(self._folder / "watchdog.lock"))
            if not own_lock.try_exclusive():
                return None
            locks = [
                stack.enter_context(FileLock(self.start_lock)),
                stack.enter_context(FileLock(self.users_lock)),
                stack.enter_context(FileLock.on_folder(self.data)),
                own_lock,
            ]
            files = [lock.fileno() for lock in locks]
            account = (self._account.uid, self._account.gid) if self._account.is_dropped else ()
            return Popen(
                [sys.executable, "-I", "-S", _WATCHDOG, *map(str, [*files, *account])],
                stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, cwd="/", env=server_environment(),
                pass_fds=files, start_new_session=True,
            )  # fmt: skip

    def is_held(self) -> bool:
        """Return whether any process of a server is left."""
        try:
            with FileLock.on_folder(self.data) as lock:
                return not lock.try_shared()
        except FileNotFoundError:
            return False

    def read_pid_file(self) -> tuple[int, Path] | None:
        """Return the process id and the socket folder of the last server, which may have ended.

        The server's user can write there what it wants.
        """
        try:
            with FileLock.on_folder(self.data) as folder:
                lines = (read_file(folder, _PID_FILE) or "").splitlines()
            return int(lines[0]), Path(lines[4])
        except (FileNotFoundError, IndexError, ValueError):  # missing, or still being written
            return None

    def last_error(self) -> str:
        """Return why the server that was spawned last has ended, from its log."""
        with open_log(self.log) as log:
            log.seek(self._log_start)
            return _error_line(log.read().decode(errors="replace"))

    def trim_log(self) -> None:
        """Rotate the log if it is too large."""
        with open_log(self.log) as log:
            if os.fstat(log.fileno()).st_size > _LOG_LIMIT:
                older = self.log.with_suffix(".log.1")
                older.unlink(missing_ok=True)
                log.seek(0)
                with open_log(older) as copy:
                    shutil.copyfileobj(log, copy)
                log.truncate(0)  # not renamed: the server keeps the file open, and appends

    def _is_initialised(self) -> bool:
        try:
            with FileLock.on_folder(self.data) as folder:
                version = (read_file(folder, "PG_VERSION") or "").strip()
        except FileNotFoundError:
            return False
        if not version:
            return False
        if version != str(self._version):
            raise EmbeddedServerError(
                f"{self.data} was created by PostgreSQL {version}, and {self._binaries} is {self._version}:"
                f" set VA_POSTGRES_BIN to the programs of PostgreSQL {version}, or move the data away"
                " to start with empty databases"
            )
        return True

    def _remove_unfinished(self) -> None:
        """Remove the folders of initdb processes that were killed."""
        for left in self._folder.glob("new-*"):
            with FileLock.on_folder(left) as lock:
                if lock.try_exclusive():  # no initdb process is left
                    shutil.rmtree(left, ignore_errors=True)

    def _fresh_folder(self) -> str:
        fresh = tempfile.mkdtemp(prefix="new-", dir=self._folder)
        if self._account.is_dropped:
            # Through a descriptor: if the folder is that user's, the path could be replaced by a link.
            with FileLock(Path(fresh), os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as folder:
                os.fchown(folder.fileno(), self._account.uid, self._account.gid)
        return fresh

    async def _discard(self, fresh: Path) -> None:
        with FileLock.on_folder(fresh) as lock:
            with move_on_after(5):  # the children of a cancelled initdb end by themselves
                await lock.exclusive()
            await to_thread.run_sync(shutil.rmtree, fresh)

    def _install(self, fresh: Path) -> None:
        with FileLock.on_folder(self._folder) as parent:
            fresh.rename(self.data)
            os.fsync(parent.fileno())

    def _locale(self) -> list[str]:
        if self._version >= 17:
            return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        return ["--locale=C.UTF-8" if sys.platform == "linux" else "--locale=C"]

    def _path(self, folder: Path, lock: FileLock) -> str:
        """Return a path of `folder` that the server's user can open, even below a folder like /root."""
        if self._account.is_dropped and sys.platform == "linux":
            return f"/proc/self/fd/{lock.fileno()}"
        return str(folder)

    def _process_options(self, lock: FileLock) -> dict[str, Any]:
        return {
            "cwd": "/",
            "env": server_environment(),
            "umask": 0o077,
            "pass_fds": (lock.fileno(),),
            "start_new_session": True,  # Ctrl-C must not stop a server that other processes use
            **self._account.process_options(),
        }

    def _rewrite_pid_file(self, lock: FileLock) -> None:
        """Replace the process id in the file of a killed server with that of this process.

        PostgreSQL refuses to start if the id is that of a live process other than its parent. The lock proves
        that no server is left. The rest of the file is kept: PostgreSQL finds stale shared memory by it.
        """
        text = read_file(lock, _PID_FILE)
        if text is not None:
            _, _, rest = text.partition("\n")
            replace_file(lock, _PID_FILE, f"{os.getpid()}\n{rest}", self._account)

    def _prepare_socket_folder(self, sockets: Path) -> None:
        """Create the folder of the socket, closed to other users, or empty it."""
        with suppress(FileExistsError):
            sockets.mkdir(mode=0o700)
        # Through a descriptor: its parent is writable for everybody, so the path could be replaced.
        try:
            with FileLock(sockets, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW) as folder:
                os.fchown(folder.fileno(), self._account.uid, self._account.gid)
                os.fchmod(folder.fileno(), 0o700)
                for left in os.listdir(folder.fileno()):  # noqa: PTH208  a descriptor
                    os.unlink(left, dir_fd=folder.fileno())
        except PermissionError:
            raise EmbeddedServerError(
                f"{sockets} belongs to another user: remove it, or set TMPDIR to another folder"
            ) from None


def _error_line(output: str) -> str:
    """Return the line of the output that says what is wrong."""
    lines = [line for line in output.splitlines() if line.strip()]
    full = [line for line in lines if _NO_SPACE in line]  # what follows is only what came of it
    for mark in ("PANIC:", "FATAL:", "error:"):
        for line in reversed(full or lines):
            if mark in line:
                return line.split(mark, 1)[1].strip()
    return lines[-1].strip() if lines else "it gives no reason"
