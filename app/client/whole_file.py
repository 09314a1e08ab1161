"""Files that are there once they are whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO


@contextmanager
def written_whole(to: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file beside its place, and move it there when the block ends; remove it if the block fails.

    A stream is written to as it is. Raises OSError.
    """
    if not isinstance(to, Path):
        yield to
        return
    unfinished = to.with_name(f".{to.name[:100]}.{token_hex(4)}.part")
    try:
        with unfinished.open("xb") as file:
            yield file
        unfinished.replace(to)
    finally:
        unfinished.unlink(missing_ok=True)
