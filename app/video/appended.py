"""Tell whether another recording was appended to a file, which FFmpeg does not read."""

import re

from .file_window import ReadableFile

_BEGINNINGS = {  # of files, by FFmpeg's name of the format
    "flv": rb"FLV\x01[\0\x01\x04\x05]\0\0\0\x09",
    "asf": re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")),
    "ivf": rb"DKIF\0\0\x20\0",
    "wtv": re.escape(bytes.fromhex("b7d800203749da11a64e0007e95ead8d")),
}
_BEFORE, _BEHIND = 64, 2**20  # bytes around the last picture in which another recording is looked for


def is_followed(file: ReadableFile, format: str, last: int) -> bool:  # noqa: A002 - FFmpeg's word
    """Return whether another recording follows the picture at the place `last`, the last one that was read.

    Of an mp4, its index tells. The position in the file is changed. Raises OSError.
    """
    beginning = _BEGINNINGS.get(format)
    if beginning is None:
        return False
    file.seek(max(last - _BEFORE, 1))
    data = b""
    while len(data) < _BEHIND and (more := file.read(_BEHIND - len(data))):
        data += more
    return re.search(beginning, data) is not None
