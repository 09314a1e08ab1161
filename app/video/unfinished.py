"""Tell by a file's beginning whether its recorder ever wrote how long it is.

FFmpeg guesses the length of the others from their bit rate, and may be wrong by hours.
"""

from .file_window import FileWindow
from .nut import ID, has_index

_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_PLACES = (40, 88, 92)  # in the properties: where the file's size, the flags, and what follows them are
_IS_BROADCAST = 1
_BEGINNING = 64 * 1024  # bytes in which the properties are

LIVE_RIFFS = (0, 0xFFFFFFFF)
"""Sizes of an AVI that stand for one that was not known yet."""


def is_unfinished(file: FileWindow, size: int) -> bool:
    """Return whether an AVI, ASF or NUT of `size` bytes does not tell its length; False for other files."""
    head = file.read(0, 16)
    if head[:4] == b"RIFF":
        return int.from_bytes(head[4:8], "little") in LIVE_RIFFS
    if head == ID[:16]:  # FFmpeg then takes the time of the last syncpoint for the end
        return not has_index(file.read, size)
    if head != _ASF:
        return False
    beginning = file.read(0, _BEGINNING)
    properties = beginning[beginning.find(_ASF_PROPERTIES) :]
    declared, flags, end = _ASF_PLACES
    if int.from_bytes(properties[flags:end], "little") & _IS_BROADCAST:
        return True
    # FFmpeg does not use the duration either if the file's size is another one.
    declared_size = int.from_bytes(properties[declared : declared + 8], "little")
    return abs(size - declared_size) > 0.05 * min(size, declared_size)
