"""Find a source's file below the media root, and notice if it changes while it is read."""

import os
import time
from os import stat_result
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from ..domain.reason import ScenarioWarning
from ..domain.source import Source, SourceError
from .errors import VideoError

_CHECK_EVERY = 1.0  # seconds


def find_file(source: Source, media_root: Path) -> Path:
    """Return the file to open, with links resolved.

    Raises:
        SourceError: the file does not exist, is no regular file, or lies outside `media_root`.
    """
    try:
        root = os.path.realpath(media_root, strict=True)
    except OSError:
        raise SourceError("the media root does not exist: create it, or set VA_MEDIA_ROOT") from None
    try:
        path = os.path.realpath(os.path.join(root, source.address), strict=True)  # noqa: PTH118 - faster
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        shorter = source.address.partition("/")[2]
        if source.address.startswith(f"{media_root.name}/") and (Path(root) / shorter).is_file():
            advice = f"paths begin below that folder, so write {shorter!r}"
        else:
            advice = "put it there, or set VA_MEDIA_ROOT"
        raise SourceError(f"no file {source.address!r} under the media root: {advice}") from None
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "a loop of links"
        raise SourceError(f"the file {source.address!r} cannot be opened: {reason.lower()}") from None
    if not path.startswith(root.rstrip(os.sep) + os.sep) and path != root:
        raise SourceError(
            f"{source.address!r} leads outside the media root: copy the file into it, or set VA_MEDIA_ROOT"
        )
    if not S_ISREG(mode):
        raise SourceError(f"{source.address!r} is not a file: name a video file below the media root")
    return Path(path)


class WatchedFile:
    """A file that is being read. Another file that takes its name changes nothing: the first stays open."""

    def __init__(self, name: str | None, warnings: list[ScenarioWarning]) -> None:
        """Begin to watch a file, or nothing if `name` is None. A change is added to `warnings` once."""
        self._name = name
        self._warnings = warnings
        self._first = self._status()
        self._is_told = False
        self.due = time.monotonic() + _CHECK_EVERY
        """When to look at the file again, of `time.monotonic()`."""

    def check(self, frame: int) -> None:
        """Look at the file. `frame` is the next one read.

        Raises:
            VideoError: the file became shorter.
        """
        self.due = time.monotonic() + _CHECK_EVERY
        if self._first is None:
            return
        status = self._status()
        if status is None or (status.st_dev, status.st_ino) != (self._first.st_dev, self._first.st_ino):
            return
        if status.st_size < self._first.st_size:
            raise VideoError(
                f"the recording was changed while it was read: it has {status.st_size:,} bytes instead of"
                f" {self._first.st_size:,}. Put the first one back, or create a new scenario",
                retryable=False,
            )
        before = self._first.st_size, self._first.st_mtime_ns
        if (status.st_size, status.st_mtime_ns) != before and not self._is_told:
            self._is_told = True
            text = (
                "The file was changed while it was read: its frames may be of two recordings, or its end may"
                " be missing. Create a new scenario once nothing writes to the file."
            )
            self._warnings.append(ScenarioWarning("file_changed", text, frame))

    def open(self) -> BinaryIO | None:
        """Open the file once more; None if there is none, or another one has its name. Raises OSError."""
        if self._name is None or self._first is None:
            return None
        file = Path(self._name).open("rb")  # noqa: SIM115 - the caller closes it
        status = os.fstat(file.fileno())
        if (status.st_dev, status.st_ino) == (self._first.st_dev, self._first.st_ino):
            return file
        file.close()
        return None

    def _status(self) -> stat_result | None:
        if self._name is None:
            return None
        try:
            return os.stat(self._name)  # noqa: PTH116
        except OSError:  # it was removed, and is still open
            return None
