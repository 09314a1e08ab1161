"""Files that are there once they are whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO


@contextmanager
def written_whole(to: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file beside its place, and move it there when the block ends; remove it if the block fails.

    A link stays, and what it leads to is replaced. A stream is written to as it is. Raises OSError.
    """
    if not isinstance(to, Path):
        yield to
    elif is_stream(to):
        with to.open("wb") as stream:
            yield stream
    else:
        place = to.resolve() if to.is_symlink() else to
        unfinished = place.with_name(f".{place.name[:50]}.{token_hex(4)}.part")
        try:
            with unfinished.open("xb") as file:
                yield file
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)


def is_stream(to: Path) -> bool:
    """Return whether a path is there and no file, such as /dev/null or a named pipe."""
    return to.exists() and not to.is_file()
