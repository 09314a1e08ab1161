"""What a scenario's `source` may be: a file below the media root, a network stream, or a test pattern."""

from pathlib import Path
from typing import Literal

from msgspec import Struct


class SourceError(ValueError):
    """The text names no source that may be opened. The message says what to do."""


class Source(Struct, frozen=True):
    """A checked source.

    `address` is what is opened: a path relative to the media root, a URL, or the test pattern's text.
    `live` is None where only opening tells (http). `redacted` is for logs and users: without credentials.
    """

    kind: Literal["file", "rtsp", "http", "test"]
    address: str
    live: bool | None
    redacted: str

    def resolve(self, media_root: Path) -> Path:
        """The file to open. Raises SourceError where it is missing, no regular file, or outside the root."""
        raise NotImplementedError


def parse_source(text: str) -> Source:
    """Check a source's text without touching disk or network. Raises SourceError."""
    raise NotImplementedError
