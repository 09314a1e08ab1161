"""Find the recordings that paths, folders and patterns on the command line name."""

import os
import stat
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NamedTuple

from ..output import readable

ENDINGS = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".dav", ".divx", ".dv", ".f4v", ".flv", ".h264",
    ".h265", ".hevc", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpe",
    ".mpeg", ".mpg", ".mts", ".mxf", ".ogg", ".ogv", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv",
    ".wtv",
})  # fmt: skip
"""Endings of names that are taken for videos in folders. A file that is named itself may have any."""


class RecordedFile(NamedTuple):
    """A file to analyse: `path` without links, and how the user named it."""

    path: Path
    shown: str


class FoundRecordings(NamedTuple):
    """What the arguments name, without repetition.

    `skipped` are files of folders and patterns that are no videos by their endings. `problems` say what
    cannot be looked into, by path.
    """

    recordings: list[RecordedFile]
    skipped: list[str]
    problems: dict[str, str]


def find_recordings(arguments: Sequence[str]) -> FoundRecordings:
    """Return the recordings in the order of the arguments, those of one folder by name. Blocks.

    Folders are looked through with all that is in them, but for hidden files and links to folders. What is
    named itself is always taken.
    """
    search = _Search()
    for argument in arguments:
        if not has_magic(argument) or os.path.lexists(argument):
            search.take(argument)
            continue
        matching = sorted(glob(argument, recursive=True))  # noqa: PTH207 - may be absolute
        if not matching:
            search.note(argument, "No file matches this pattern.")
        for name in matching:
            search.take(name, is_named=False)
    return search.found


class _Search:
    def __init__(self) -> None:
        self.found = FoundRecordings([], [], {})
        self._seen: set[Path] = set()

    def note(self, name: str, problem: str) -> None:
        """Keep why something cannot be looked into."""
        self.found.problems[readable(name)] = problem

    def take(self, name: str, *, is_named: bool = True) -> None:
        """Take a file or what is in a folder. A file that is not named itself must be a video by its name."""
        try:
            path = Path(name).resolve(strict=True)
            kind = path.stat().st_mode
        except FileNotFoundError:
            return self.note(name, "There is no such file or folder.")
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            return self.note(name, f"It cannot be opened: {_reason(error)}.")
        if path in self._seen:
            return None
        self._seen.add(path)
        if stat.S_ISDIR(kind):
            return self._look_through(name)
        is_wanted = is_named or os.path.splitext(name)[1].lower() in ENDINGS  # noqa: PTH122 - of all files
        if not stat.S_ISREG(kind):  # such as a named pipe: to open it would wait for a writer
            return self.note(name, "It is not a file: name a video file.") if is_wanted else None
        if is_wanted:
            self.found.recordings.append(RecordedFile(path, readable(name)))
        else:
            self.found.skipped.append(readable(name))
        return None

    def _look_through(self, folder: str) -> None:
        def note(error: OSError) -> None:
            self.note(str(error.filename), f"The folder cannot be read: {_reason(error)}.")

        has_files = False
        for place, folders, names in os.walk(folder, onerror=note):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    has_files = True
                    self.take(os.path.join(place, name), is_named=False)  # noqa: PTH118 - as above
        if not has_files:
            self.found.problems.setdefault(readable(folder), "The folder has no files.")


def _reason(error: Exception) -> str:
    return error.strerror.lower() if isinstance(error, OSError) and error.strerror else "a loop of links"


def endings_of(names: Sequence[str]) -> list[str]:
    """Return the different endings of names, for a sentence about what was skipped."""
    return sorted({Path(name).suffix.lower() or "no ending" for name in names})
