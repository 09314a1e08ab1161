"""The files of a model: the ONNX file, and files beside it that hold its weights (external data)."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..base import DetectorError

LARGEST_FILE = 2**31 - 1  # bytes: no ONNX message is larger
_LONGEST_NAME = 4096  # bytes
# A StringStringEntryProto with the key `location`, up to the length of its value. Only tensors have one.
_LOCATION = b"\x0a\x08location\x12"
_LONGEST_ENTRY = len(_LOCATION) + 2 + _LONGEST_NAME
_CHUNK = 1 << 20  # bytes


class FileStamp(NamedTuple):
    """Tells whether a file has changed: `modified` is in nanoseconds."""

    path: Path
    modified: int
    size: int


def stamp_of(path: Path) -> FileStamp:
    """Return the file's present stamp."""
    status = path.stat()
    return FileStamp(path, status.st_mtime_ns, status.st_size)


def weight_names(path: Path) -> tuple[str, ...]:
    """Return the names in the ONNX file at `path` of files that it takes weights from.

    The file is not mapped into memory: SIGBUS would end the process if it is overwritten at that moment.
    """
    names: set[str] = set()
    content = b""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            content = content[-_LONGEST_ENTRY:] + chunk
            names.update(_locations(content))
    return tuple(sorted(names))


def find_weights(path: Path, names: Iterable[str]) -> dict[str, Path]:
    """Return those of the named files that exist in the ONNX file's folder or below, by name.

    ONNX Runtime itself rejects a model that takes weights from any other file.
    """
    found = {}
    for name in names:
        try:
            weights = (path.parent / name).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            continue
        if weights.is_file() and weights.is_relative_to(path.parent):
            found[name] = weights
    return found


def read_weights(files: Mapping[str, Path]) -> dict[str, bytes]:
    """Return the content of the files by name.

    They are read into memory because ONNX Runtime would map them: a file that is overwritten would then
    change the results of a model in use (measured with 1.32).

    Raises:
        DetectorError: they are larger than 2 GiB together
    """
    if sum(path.stat().st_size for path in files.values()) > LARGEST_FILE:
        raise DetectorError("Its weights are larger than 2 GiB.")
    return {name: path.read_bytes() for name, path in files.items()}


def digest(path: Path, weights: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of the ONNX file followed by the weights beside it, each after its name."""
    with path.open("rb") as file:
        total = hashlib.file_digest(file, "sha256")
    for name, content in sorted(weights.items()):
        total.update(name.encode())
        total.update(content)
    return total.hexdigest()


def _locations(content: bytes) -> Iterator[str]:
    """Yield the names whose entries are complete."""
    at = content.find(_LOCATION)
    while at >= 0:
        at += len(_LOCATION)
        low, high = (*content[at : at + 2], 0, 0)[:2]
        begin, length = (at + 1, low) if low < 128 else (at + 2, low - 128 + 128 * high)  # a varint
        if length <= _LONGEST_NAME and begin + length <= len(content):
            yield content[begin : begin + length].decode(errors="replace")
        at = content.find(_LOCATION, at)
