"""Files that are one picture, such as JPEG: recognised by their first bytes, not by their name."""

from .errors import VideoError

# None of these formats opens another file.
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png_pipe",
    b"BM": "bmp_pipe",
    b"II*\0": "tiff_pipe",
    b"MM\0*": "tiff_pipe",
}
_JPEG, _JPEG_SUFFIXES = b"\xff\xd8\xff", frozenset([".jpg", ".jpeg", ".jpe", ".jfif"])


BEGINNING = 64 * 1024
"""Bytes in which an animated PNG says that it is one."""


def picture_format(beginning: bytes, suffix: str, name: str) -> str | None:
    """Return the format of a file that is a picture, None for all others, given its first bytes.

    `suffix` is that of the file's name, and `name` is for messages.

    Raises:
        VideoError: FFmpeg cannot decode this kind of picture.
    """
    if beginning.startswith(_JPEG):  # a motion JPEG without a container begins in the same way
        return "jpeg_pipe" if suffix.lower() in _JPEG_SUFFIXES else "mjpeg"
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        if beginning[12:16] == b"VP8X" and len(beginning) > 20 and beginning[20] & 2:
            raise VideoError(
                f"{name} is an animated WebP, which is not supported: convert it to mp4", retryable=False
            )
        return "webp_pipe"
    found = next((each for signature, each in _SIGNATURES.items() if beginning.startswith(signature)), None)
    if found == "png_pipe" and b"acTL" in beginning.partition(b"IDAT")[0]:
        return "apng"
    return found
