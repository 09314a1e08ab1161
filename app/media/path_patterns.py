"""Patterns of paths below the media folder: `yard/**/*.mp4`."""

import fnmatch
import re
from collections.abc import Set

from ..domain.source import SourceError

MAX_COMPONENTS = 32
ANY_FOLDERS = "**"


class PathPattern:
    """A pattern of relative paths. A folder is walked with the positions in the pattern that it can be at.

    `*`, `?` and `[…]` stand for characters of one name, `**` for any number of folders. Case matters.
    """

    def __init__(self, text: str) -> None:
        """Raises SourceError if the pattern can match no file below a folder."""
        if any(character < " " or character == "\x7f" for character in text):
            raise SourceError("the pattern contains control characters: remove them")
        if "\\" in text:
            raise SourceError("the pattern contains a backslash: separate folders by '/'")
        if text.startswith("/"):
            raise SourceError("the pattern is absolute: give it relative to the media root")
        parts = [part for part in text.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise SourceError("the pattern contains '..': give folders below the media root")
        if not parts or text.endswith("/"):
            raise SourceError("the pattern names a folder: write folder/*.mp4, or folder/**/*.mp4")
        if len(parts) > MAX_COMPONENTS:
            raise SourceError(f"the pattern has more than {MAX_COMPONENTS} parts between '/': shorten it")
        if any(ANY_FOLDERS in part and part != ANY_FOLDERS for part in parts):
            raise SourceError("'**' stands for folders: write it between two '/', as in yard/**/*.mp4")
        if any(part.startswith(".") for part in parts):
            raise SourceError("the pattern names hidden files, which are left out: begin no part with '.'")
        self._parts = [None if part == ANY_FOLDERS else re.compile(fnmatch.translate(part)) for part in parts]

    @property
    def start(self) -> frozenset[int]:
        """The positions of the media folder itself."""
        return frozenset({0})

    def matches(self, name: str, positions: Set[int]) -> bool:
        """Return whether a file of a folder that is at these positions is one of those looked for."""
        last = len(self._parts) - 1
        return last in self._closed(positions) and self._fits(last, name)

    def enter(self, name: str, positions: Set[int], *, is_link: bool) -> frozenset[int]:
        """Return the positions of a folder in a folder; empty if no file below it can match.

        `**` enters no links: they could lead round in a circle.
        """
        last = len(self._parts) - 1
        entered: set[int] = set()
        for position in self._closed(positions):
            if self._parts[position] is None:
                if not is_link:
                    entered.add(position)
            elif position < last and self._fits(position, name):
                entered.add(position + 1)
        return frozenset(entered)

    def _fits(self, position: int, name: str) -> bool:
        part = self._parts[position]
        return part is None or part.match(name) is not None

    def _closed(self, positions: Set[int]) -> set[int]:
        """Return the positions, and those behind `**`, which may stand for no folder."""
        closed = set(positions)
        for position in sorted(positions):
            while self._parts[position] is None and position + 1 < len(self._parts):
                position += 1
                closed.add(position)
        return closed
