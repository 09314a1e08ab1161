"""Find the files below the media folder that a pattern names."""

import os
from collections.abc import Set
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from msgspec import Struct

from ..domain.source import SourceError, parse_source
from .path_patterns import PathPattern

MAX_FILES = 50_000
"""Files that one pattern finds, at most."""

MAX_ENTRIES = 1_000_000
"""Files and folders that are looked at, at most."""

MAX_DEPTH = 100
"""Folders that are entered one within the other, at most."""

MAX_PATH = 2000
"""Characters of a path, at most: a source has no more."""


class FoundFile(Struct, frozen=True):
    """A file below the media folder. `modified` is in nanoseconds of Unix time.

    `refused` says why its name can be no source, if it cannot.
    """

    path: str
    size: int
    modified: int
    refused: str | None = None


class Scan(Struct, frozen=True):
    """What was found, in the order of the paths. `problem`: why something may be missing."""

    files: tuple[FoundFile, ...]
    problem: str | None = None


class _LimitError(Exception):
    pass


def scan(
    root: Path, pattern: PathPattern, max_files: int = MAX_FILES, max_entries: int = MAX_ENTRIES
) -> Scan:
    """Return the files that match. Hidden ones, and links that lead out of the folder, are left out."""
    walk = _Walk(root, pattern, max_files, max_entries)
    try:
        walk.enter(root.resolve(strict=True), (), pattern.start)
    except _LimitError as error:
        walk.problems.append(str(error))
    except OSError:
        walk.problems.append("The media folder does not exist: create it, or set VA_MEDIA_ROOT.")
    first, more = walk.problems[:1], len(walk.problems) - 1
    return Scan(
        tuple(walk.files), f"{first[0]}{f' ({more} more problems)' if more else ''}" if first else None
    )


def storable(nanoseconds: int) -> int:
    """Return a time of a file as far as a database can hold it: some file systems tell any century."""
    return max(-(2**63), min(nanoseconds, 2**63 - 1))


def source_of(path: str) -> str:
    """Return how a scenario names a file below the media folder. Raises SourceError if it cannot."""
    if not path.isascii():
        try:
            path.encode()
        except UnicodeEncodeError:
            raise SourceError("the name is not in UTF-8: rename the file") from None
    if any(character < " " or character in "\\\x7f" for character in path):
        raise SourceError("the path contains a backslash or control characters: rename the file")
    if len(path) > MAX_PATH - 2:
        raise SourceError(f"the path is longer than {MAX_PATH:,} characters: move or rename the file")
    return parse_source(f"./{path}").redacted


class _Walk:
    def __init__(self, root: Path, pattern: PathPattern, max_files: int, max_entries: int) -> None:
        self.files: list[FoundFile] = []
        self.problems: list[str] = []
        self._root = os.path.join(os.path.realpath(root), "")  # noqa: PTH118
        self._pattern = pattern
        self._max_files = max_files
        self._max_entries = max_entries
        self._entries = 0
        self._paths = set[str]()

    def enter(self, folder: Path | str, parts: tuple[str, ...], positions: Set[int]) -> None:
        try:
            with os.scandir(folder) as entries:
                names = [entry.name for entry in entries if not entry.name.startswith(".")]
        except OSError as error:
            shown = "/".join(parts) or "."
            reason = (error.strerror or "it cannot be read").lower()
            self.problems.append(
                f"The folder {_shown(shown)!r} below the media folder cannot be read: {reason}."
            )
            return
        self._entries += len(names)
        if self._entries > self._max_entries:
            raise _LimitError(
                f"More than {self._max_entries:,} files and folders would have to be looked at: name fewer in"
                " `sources`."
            )
        for name in sorted(names):
            self._look(os.path.join(folder, name), (*parts, name), positions)  # noqa: PTH118 - ten times as fast

    def _look(self, full: str, parts: tuple[str, ...], positions: Set[int]) -> None:
        matches = self._pattern.matches(parts[-1], positions)
        try:
            status = os.lstat(full)
            is_link = not (S_ISREG(status.st_mode) or S_ISDIR(status.st_mode))
            if is_link:
                status = os.stat(full)  # noqa: PTH116
                if not os.path.join(os.path.realpath(full), "").startswith(self._root):  # noqa: PTH118
                    return
        except OSError:  # removed since, or a link that leads nowhere
            return
        if S_ISDIR(status.st_mode):
            if entered := self._pattern.enter(parts[-1], positions, is_link=is_link):
                if len(parts) > MAX_DEPTH:
                    self.problems.append(
                        f"Folders deeper than {MAX_DEPTH} are not entered: move what is in them up."
                    )
                    return
                self.enter(full, parts, entered)
        elif matches and S_ISREG(status.st_mode):
            if len(self.files) == self._max_files:
                raise _LimitError(
                    f"More than {self._max_files:,} files match, and the first {self._max_files:,} by name"
                    " are taken: name fewer in `sources`, and make further batches."
                )
            self._add("/".join(parts), status)

    def _add(self, path: str, status: os.stat_result) -> None:
        refused = None
        try:
            source_of(path)
        except SourceError as error:
            refused = f"{str(error)[:1].upper()}{str(error)[1:]}."
        shown = _shown(path)
        if shown in self._paths:  # one name is not in UTF-8, and another one is what is shown for it
            return
        self._paths.add(shown)
        self.files.append(FoundFile(shown, status.st_size, storable(status.st_mtime_ns), refused))


def _shown(path: str) -> str:
    """Return a path as text, also if its name is not in UTF-8."""
    return path.encode("utf-8", "backslashreplace").decode()
