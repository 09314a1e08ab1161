"""Which recording a file is: its size, its time and samples of its content."""

import os
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from ..domain.pins import FileIdentity

_EDGE = 64 * 1024  # bytes of the file's head, and of its tail
_SAMPLES, _SAMPLE = 30, 4096  # further places, spread evenly, and bytes of each


def identify(path: Path) -> FileIdentity:
    """Return the identity of a file, reading at most 256 KiB of it. Raises OSError."""
    with path.open("rb") as file:
        return identify_open(file)


def identify_open(file: BinaryIO) -> FileIdentity:
    """Return the identity of an open file. Raises OSError."""
    status = os.fstat(file.fileno())
    digest = sha256()
    for start, length in _places(status.st_size):
        file.seek(start)
        digest.update(file.read(length))
    return FileIdentity(size=status.st_size, modified=status.st_mtime_ns, digest=digest.hexdigest())


def _places(size: int) -> list[tuple[int, int]]:
    """Where samples are taken in a file of `size` bytes, and how long each is."""
    if size <= 2 * _EDGE + _SAMPLES * _SAMPLE:
        return [(0, size)]
    middle = size - 2 * _EDGE
    inner = [(_EDGE + middle * n // _SAMPLES, _SAMPLE) for n in range(_SAMPLES)]
    return [(0, _EDGE), *inner, (size - _EDGE, _EDGE)]
