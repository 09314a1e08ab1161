"""Small files of the data folder, whose owner may be another user than this process.

If this process is root, that user must not be able to make it read or overwrite a file of root. So no link is
followed, names are looked up in the open folder, and only regular files of that user are used.
"""

import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from typing import IO

from .account import Account
from .errors import EmbeddedServerError
from .locks import FileLock

_MAX_SIZE = 64 * 1024  # bytes; PostgreSQL writes some hundred


def read_file(folder: FileLock, name: str) -> str | None:
    """Return the text of a file in an open folder, or None if there is none.

    Raises:
        EmbeddedServerError: it is no regular file of the folder's owner.
    """
    try:
        # Without O_NONBLOCK, a pipe of this name would be waited for.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(name, flags, dir_fd=folder.fileno())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refusal(name, error.strerror) from None
    try:
        status, owner = os.fstat(file), os.fstat(folder.fileno()).st_uid
        if not S_ISREG(status.st_mode) or status.st_uid != owner:
            raise _refusal(name, "it is no regular file of the folder's owner")
        return os.read(file, _MAX_SIZE).decode(errors="replace")
    finally:
        os.close(file)


def replace_file(folder: FileLock, name: str, text: str, account: Account) -> None:
    """Replace a file in an open folder by a new one that `account` owns. Raises OSError."""
    fresh = f"{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=folder.fileno())
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(fresh, flags, 0o600, dir_fd=folder.fileno())
    try:
        os.write(file, text.encode())
        os.fchown(file, account.uid, account.gid)
    finally:
        os.close(file)
    os.replace(fresh, name, src_dir_fd=folder.fileno(), dst_dir_fd=folder.fileno())


def open_log(path: Path) -> IO[bytes]:
    """Open the server's log to append to it. Raises OSError if it is a link."""
    return os.fdopen(
        os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "ab+"
    )


def _refusal(name: str, reason: str | None) -> EmbeddedServerError:
    return EmbeddedServerError(f"the file {name} of the database is not used: {reason}; remove it")
