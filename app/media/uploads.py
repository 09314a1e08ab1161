"""Receive a file into the media root: hidden until it is whole and checked, then linked under its name."""

import fcntl
import os
import re
import time
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EDQUOT, EMLINK, ENOSPC, ENOSYS, ENOTSUP, EPERM
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO, cast
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from ..domain.source import Source, parse_source
from .folders import FolderError, opened_folder

FOLDER = "uploads"
"""The folder of the media root to which files are uploaded."""

_HIDDEN = re.compile(r"\.upload-[0-9a-f]{32}(?:\.[A-Za-z0-9]{1,10})?")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")
_LONGEST_NAME = 255  # bytes
_WRONG_KINDS = frozenset(["Cc", "Cs", "Zl", "Zp"])  # of characters: control, surrogate, line, paragraph
_WITHOUT_LOCKS = 86_400.0  # seconds without a write after which a file is given up if its disk has no locks
_NO_LINKS = frozenset([EPERM, ENOTSUP, ENOSYS, EMLINK])  # errors of a disk without hard links


class UploadError(Exception):
    """The file cannot be stored. The message says why and what to do."""


class NameTakenError(UploadError):
    """There is a file of this name."""


class NoRoomError(UploadError):
    """The disk would have less free space than uploads must leave."""


class UploadLimits(Struct, frozen=True):
    """What uploads may take, in gigabytes (10⁹ bytes): each file, and what must stay free on the disk."""

    max_gb: float = 10.0
    min_free_gb: float = 1.0

    @property
    def max_size(self) -> float:
        """Bytes that a file may have."""
        return self.max_gb * 1e9


def name_fault(name: str) -> str | None:
    """Return why a file cannot have this name, or None if it can."""
    if name.startswith("."):
        return "it begins with a dot, so that the file would be hidden"
    if "/" in name or "\\" in name or not name:
        return "it must be the name of one file, without / and \\"
    if "\ufffd" in name or any(unicodedata.category(each) in _WRONG_KINDS for each in name):
        return "it is not UTF-8, or contains control characters"
    if len(name.encode()) > _LONGEST_NAME:
        return f"it has {len(name.encode())} bytes, and a name may have {_LONGEST_NAME}"
    return None


class UnfinishedFile:
    """A hidden, locked file in the folder of uploads, until it is published or closed. All calls block.

    Every call raises UploadError if the disk fails.
    """

    def __init__(self, media_root: Path, name: str, limits: UploadLimits) -> None:
        self._media_root = media_root
        self._name = name
        self._limits = limits
        self._hidden = f".upload-{uuid4().hex}{_suffix(name)}"  # FFmpeg also goes by the suffix
        self._stack = ExitStack()

    @property
    def source(self) -> Source:
        """The hidden file, under the name that it shall have."""
        return replace(parse_source(f"{FOLDER}/{self._hidden}"), redacted=self._name)

    def create(self) -> None:
        """Create the file, and the folder if it is missing.

        Raises:
            NameTakenError: there is a file of this name.
            UploadError: the folder cannot be used or written.
        """
        with _told_as_upload_errors():
            with opened_folder(self._media_root, "") as (root, _), suppress(FileExistsError):
                os.mkdir(FOLDER, dir_fd=root)
            self._folder, _ = self._stack.enter_context(opened_folder(self._media_root, FOLDER))
            self._check_name()
            self._stack.callback(self._remove)
            self._file = self._stack.enter_context(self._locked_file())

    def check_room(self, size: int) -> None:
        """Raise NoRoomError if so many bytes more would leave too little space on the disk."""
        with _told_as_upload_errors():
            disk = os.fstatvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free - size < self._limits.min_free_gb * 1e9:
            raise NoRoomError(
                f"the disk of the media folder has {free / 1e9:.1f} GB free, and uploads must leave"
                f" {self._limits.min_free_gb:g} GB (VA_UPLOAD_MIN_FREE_GB): make room"
            )

    def write(self, data: bytes) -> None:
        """Append bytes. Raises NoRoomError if they would leave too little space on the disk."""
        self.check_room(len(data))
        rest = memoryview(data)
        with _told_as_upload_errors():
            while rest:
                rest = rest[self._file.write(rest) :]

    def publish(self) -> None:
        """Give the file its name, all at once. Raises NameTakenError if another file has it."""
        with _told_as_upload_errors():
            os.fsync(self._file.fileno())
            try:
                os.link(self._hidden, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)
            except FileExistsError:
                raise self._name_taken() from None
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                self._rename()
            with suppress(OSError):  # some disks cannot do so with folders
                os.fsync(self._folder)

    def close(self) -> None:
        """Remove the hidden file, and with it all that was written unless it was published."""
        self._stack.close()

    def _locked_file(self) -> BinaryIO:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while True:
            descriptor = os.open(self._hidden, flags, 0o666, dir_fd=self._folder)
            file = cast("BinaryIO", os.fdopen(descriptor, "wb", buffering=0))
            with suppress(OSError):  # a disk without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else `remove_abandoned` was faster than the lock
                return file
            file.close()

    def _rename(self) -> None:
        """Publish on a disk without hard links: an empty file holds the name until it is replaced."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            os.close(os.open(self._name, flags, 0o666, dir_fd=self._folder))
        except FileExistsError:
            raise self._name_taken() from None
        os.rename(self._hidden, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _check_name(self) -> None:
        with suppress(FileNotFoundError):
            os.stat(self._name, dir_fd=self._folder, follow_symlinks=False)
            raise self._name_taken()

    def _name_taken(self) -> NameTakenError:
        return NameTakenError(f"there is a file {FOLDER}/{self._name}: give another name")

    def _remove(self) -> None:
        with suppress(OSError):
            os.unlink(self._hidden, dir_fd=self._folder)


def remove_abandoned(media_root: Path) -> int:
    """Remove hidden files of processes that were killed, and return how many they were. Blocks.

    A file that is being written is locked by its process, which may be another api of the same folder.
    """
    removed = 0
    with suppress(FolderError, OSError), opened_folder(media_root, FOLDER) as (folder, _):
        with os.scandir(folder) as names:
            hidden = [each.name for each in names if _HIDDEN.fullmatch(each.name)]
        for name in hidden:
            with suppress(OSError):
                removed += _remove_if_abandoned(folder, name)
    return removed


def _remove_if_abandoned(folder: int, name: str) -> bool:
    """Remove a file unless its writer lives. Raises OSError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
        status = os.fstat(file.fileno())
        if not S_ISREG(status.st_mode):
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # NFS: shared, because it is read
        except BlockingIOError:
            return False
        except OSError:  # a disk without locks
            if time.time() - status.st_mtime < _WITHOUT_LOCKS:
                return False
        os.unlink(name, dir_fd=folder)
        return True


def _suffix(name: str) -> str:
    suffix = Path(name).suffix
    return suffix if _SUFFIX.fullmatch(suffix) else ""


@contextmanager
def _told_as_upload_errors() -> Iterator[None]:
    """Turn errors of the disk into sentences."""
    try:
        yield
    except FolderError as error:
        raise UploadError(str(error)) from error
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise NoRoomError("the disk of the media folder is full: make room") from error
        reason = (error.strerror or "an error of the disk").lower()
        raise UploadError(f"the file cannot be written to the media folder: {reason}") from error
