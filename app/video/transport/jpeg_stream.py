"""Read the JPEG pictures of a camera over HTTP: MJPEG, which is one response without an end."""

from ..errors import VideoError
from .http_file import HttpFile
from .jpeg_splitter import MAX_PICTURE, JpegSplitter

_READ = 64 * 1024  # bytes


def mjpeg_part(picture: bytes) -> bytes:
    """Return a picture as the part of a multipart response that FFmpeg's `mpjpeg` format reads."""
    head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture + b"\r\n"


class JpegStream:
    """The pictures of an MJPEG response, for PyAV to read as `mpjpeg`. Not thread safe.

    Only the pictures themselves tell where they begin and end. Cameras send parts without a boundary, with a
    wrong type or a wrong length, and FFmpeg waits for ever for what such a head promises.
    """

    def __init__(self, file: HttpFile) -> None:
        self._file = file
        self._splitter = JpegSplitter()
        self._unread = bytearray()
        self._has_pictures = False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; `b""` at the end, or after the file's fault."""
        while not self._unread:
            data = self._file.read(_READ)
            if not data:
                self._explain()
                return b""
            try:
                for picture in self._splitter.push(data):
                    self._unread += mjpeg_part(picture)
            except ValueError:
                self._file.fault = VideoError(
                    f"{self._file.name} sends a picture of more than {MAX_PICTURE >> 20} MiB", retryable=False
                )
                return b""
            self._has_pictures = self._has_pictures or bool(self._unread)
        taken = bytes(self._unread[:size])
        del self._unread[:size]
        return taken

    def _explain(self) -> None:
        if self._file.tell() and not self._has_pictures:
            self._file.fault = VideoError(f"{self._file.name} sends no JPEG pictures", retryable=True)
