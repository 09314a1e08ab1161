"""The watchdog of the embedded server: it stops the server if every process that used it was killed.

It is a process of its own and starts in 20 ms, because it imports nothing of this package. It takes the locks
in the order in which the service takes them, so a service that starts at the same moment is not disturbed.

Arguments: the descriptors of `start.lock`, `users.lock`, the data folder and `watchdog.lock`, which it
inherits locked; then, if it starts as root, the user and group that it becomes.
"""

import fcntl
import os
import signal
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

_INTERVAL = 1.0  # seconds; locks that processes hold cannot be waited for without taking them
_POLL = 0.02
_STOP_TIMEOUT = 10.0  # a service that starts waits for so long; later it waits for the server itself


def watch(start_lock: int, users_lock: int, data: int) -> None:
    """Return once nobody uses the server and it has ended."""
    while True:
        time.sleep(_INTERVAL)  # the locks cannot be waited for without taking them
        if not _try_lock(start_lock):
            continue
        if _try_lock(users_lock):
            if _is_running(data):
                _stop(data)
            if not _is_running(data):
                return
            _unlock(users_lock)
        _unlock(start_lock)


def _stop(data: int) -> None:
    """Ask the server for a fast shutdown, which loses nothing, and wait for it."""
    found = _read_pid_file(data)
    if found is None:
        return
    server, sockets, port = found
    if not listens(server, sockets, port):
        return
    with suppress(ProcessLookupError, PermissionError):
        os.kill(server, signal.SIGINT)
    deadline = time.monotonic() + _STOP_TIMEOUT
    while _is_running(data) and time.monotonic() < deadline:
        time.sleep(_POLL)  # another user's process, which cannot be waited for
    with suppress(OSError):
        sockets.rmdir()


def listens(server: int, sockets: Path, port: str) -> bool:
    """Return whether the process id is that of the server which listens in a folder.

    It is another process's if the server was killed, or runs in another container with the same files.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(sockets / f".s.PGSQL.{port}"))
        except OSError:
            return False
        if sys.platform != "linux":
            return True
        listener, _, _ = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return bool(listener == server)


def _read_pid_file(data: int) -> tuple[int, Path, str] | None:
    """Return the server's process id, its socket's folder, and its port; None if it just starts or ends."""
    try:
        file = os.open("postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=data)
    except OSError:
        return None
    with os.fdopen(file, encoding="utf-8", errors="surrogateescape") as text:
        lines = text.read().splitlines()
    try:
        return int(lines[0]), Path(lines[4]), lines[3]
    except (IndexError, ValueError):
        return None


def _is_running(data: int) -> bool:
    """Return whether any process of a server is left: all of them inherit a lock on the data folder."""
    if not _try_lock(data, fcntl.LOCK_SH):
        return True
    _unlock(data)
    return False


def _try_lock(file: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _unlock(file: int) -> None:
    fcntl.flock(file, fcntl.LOCK_UN)


def main() -> None:
    start_lock, users_lock, data, own_lock, *account = map(int, sys.argv[1:])
    if account:
        os.setgroups([])
        os.setgid(account[1])
        os.setuid(account[0])
    watch(start_lock, users_lock, data)
    os.close(own_lock)  # first: who gets the start lock next must be able to start another watchdog


if __name__ == "__main__":
    main()
