"""Read recordings and streams over HTTP, with range requests.

FFmpeg 8.1's own HTTP reader reuses connections that it asked the server to close, and so loses the first
frame of every mp4 with its index at the end. It also follows redirects, and host names whose address changes,
to any address.
"""

import io
import re
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from threading import Event
from typing import Literal
from urllib.parse import urlsplit

from ...domain.pins import FileIdentity
from ..errors import VideoError, connection_error, status_error, unsupported_login_error
from .http_client import HttpClient, StatusError
from .jpeg_splitter import JPEG_START, JpegSplitter

_PLAYLIST_TYPES = frozenset(["application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl"])
_JPEG_TYPES = frozenset(["image/jpeg", "image/jpg", "image/pjpeg"])
_UNTYPED = frozenset(["application/octet-stream", "text/plain"])  # what servers send for want of a type
_NO_RANGES = frozenset([400, 406, 416, 501])  # statuses of servers that reject a request for a range
_NOT_THERE = 416  # the status if a file has become shorter than the range asked for
_NO_SIZE = frozenset([2**31 - 1, 2**32 - 1, 2**63 - 1])  # sizes that servers give to what has no end
_RETRY_DELAYS = (0.0, 0.25, 0.5, 1.0)  # seconds before each read after the connection was lost
_READ = 64 * 1024  # bytes
_MAX_SKIP = 256 * 1024  # bytes: a seek this far ahead reads on, because a new request takes longer


class HttpFile:
    """A file on a web server, for PyAV to read. Not thread safe.

    `kind` is `stream` if the file has no end, `mjpeg` if that is a stream of JPEG pictures, `snapshot` if
    each request is answered with one JPEG picture, and `playlist` if the file names other files. A `file`
    that `is_jpegs` holds nothing but JPEG pictures. `url` is the address after redirects. PyAV loses what
    `read` raises: after a failure `read` returns `b""`, and `fault` is the reason. `scan`, if it is set, gets
    the bytes that are read, and their place; it may raise VideoError.
    """

    def __init__(self, url: str, name: str, client: HttpClient, stop: Event) -> None:
        """Send the first request; `name` stands for the file in messages. Raises VideoError."""
        self.name = name
        self.fault: VideoError | None = None
        self.scan: Callable[[bytes, int], None] | None = None
        self._requested_url = url
        self._client = client
        self._stop = stop
        self._response = self._request_or_explain(0)
        self.url = self._response.geturl()
        self._position = 0  # of the next read
        self._response_position = 0  # of the next byte in the response
        self._has_ranges = self._response.status == 206
        self._size = _file_size(self._response)
        self._etag = self._response.headers.get("ETag")
        self._modified = _modified(self._response)
        self.media_type = self._response.headers.get_content_type()
        self.is_jpegs = False
        self.kind = self._kind(urlsplit(url).path)
        if self.kind in ("stream", "mjpeg"):
            self._size, self._has_ranges = None, False
            self._response.length = None  # whatever the server says, it is read until the connection ends

    @property
    def identity(self) -> FileIdentity:
        """What the server tells of the file."""
        return FileIdentity(size=self._size, etag=self._etag)

    def start_packet(self, timeout: float) -> None:
        """Start to read the next packet, which may take `timeout` seconds."""
        self._client.start_packet(timeout)

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes from the current position; `b""` at the end, or after a failure."""
        if self.fault is not None or (self._size is not None and self._position >= self._size):
            return b""
        for delay in _RETRY_DELAYS:
            if self._stop.wait(delay):
                break
            try:
                data = self._read(size)
                if self.scan is not None:
                    self.scan(data, self._position)
            except VideoError as fault:
                self.fault = fault.without_traceback()
                return b""
            except StatusError as error:
                if error.status == _NOT_THERE:
                    self.fault = self._changed_error()
                    return b""
                if error.status < 500:
                    break
            except TimeoutError:
                break
            except (OSError, HTTPException):
                pass
            else:
                self._position += len(data)
                if data or self._size is None:
                    return data
            self._response.close()
            if not self._has_ranges:
                break
        total = "" if self._size is None else f" of {self._size}"
        self.fault = VideoError(
            f"the connection to {self.name} was lost after {self._position}{total} bytes", retryable=True
        )
        return b""

    def check_unchanged(self) -> None:
        """Ask the server once more, at the end. Raises VideoError if the file is another one by now.

        A file that was overwritten while one response was read gave a mixture of both.
        """
        if self.kind != "file" or not self._has_ranges or not self._size:
            return
        self._response.close()
        try:
            self._response = self._request(self._size - 1)
        except (OSError, HTTPException) as error:
            if isinstance(error, StatusError) and error.status == _NOT_THERE:
                raise self._changed_error() from None
            return  # it was read to its end, and nothing tells that it changed
        self._response_position = self._size - 1
        if not self._is_same(self._response):
            raise self._changed_error()

    def request_again(self) -> None:
        """Request the whole file again. Raises VideoError."""
        self._response.close()
        self._response = self._request_or_explain(None)
        self.media_type = self._response.headers.get_content_type()

    def read_to_end(self, limit: int) -> bytes:
        """Return the rest of the response. Raises VideoError if it is cut off, or exceeds `limit` bytes."""
        expected = self._response.length
        try:
            data = self._response.read(limit + 1)
        except (OSError, HTTPException) as error:
            raise connection_error(error, self.name) from None
        if len(data) > limit:
            raise VideoError(f"{self.name} sends more than {limit >> 20} MiB", retryable=False)
        if expected is not None and len(data) < expected:
            raise VideoError(
                f"the connection to {self.name} was lost after {len(data)} of {expected} bytes",
                retryable=True,
            )
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, and return it. The server gets no request before the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size or 0}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def seekable(self) -> bool:
        """Return whether the server supports range requests."""
        return self._has_ranges

    def close(self) -> None:
        """Close the connection."""
        self._response.close()

    def _read(self, size: int) -> bytes:
        if self._size is None:
            return self._response.read1(size)
        ahead = self._position - self._response_position
        if self._response.isclosed() or not 0 <= ahead <= _MAX_SKIP:
            self._response.close()
            self._response, self._response_position = self._request(self._position), self._position
            if not self._is_same(self._response):
                raise self._changed_error()
            self._check_range(self._response, self._position)
        elif ahead:
            self._response_position += len(self._response.read(ahead))
            if self._response_position != self._position:
                return b""
        data = self._response.read1(size)
        self._response_position += len(data)
        return data

    def _check_range(self, response: HTTPResponse, first_byte: int) -> None:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {first_byte}-"):
            raise VideoError(
                f"{self.name} answers with other bytes than requested: copy the file below the media root",
                retryable=False,
            )

    def _is_same(self, response: HTTPResponse) -> bool:
        """Return whether a response is of the same version of the file."""
        return (
            response.status == 206
            and _file_size(response) == self._size
            and response.headers.get("ETag") == self._etag
            and (self._etag is not None or _modified(response) == self._modified)
        )

    def _changed_error(self) -> VideoError:
        return VideoError(
            f"{self.name} was changed on its server while it was read: create a new scenario",
            retryable=False,
        )

    def _request_or_explain(self, first_byte: int | None) -> HTTPResponse:
        """Send a request. Raises VideoError."""
        try:
            return self._request(first_byte)
        except StatusError as error:
            if first_byte == 0 and error.status in _NO_RANGES:
                return self._request_or_explain(None)
            if error.unsupported:
                raise unsupported_login_error(self.name, error.unsupported) from None
            raise status_error(error.status, self.name) from None
        except (OSError, HTTPException) as error:
            raise connection_error(error, self.name) from None

    def _request(self, first_byte: int | None) -> HTTPResponse:
        """Request the file from a byte on; None: all of it, without a range."""
        headers = {"User-Agent": "videoanalysis"}
        if first_byte is not None:
            headers["Range"] = f"bytes={first_byte}-"
        return self._client.get(self._requested_url, headers)

    def _kind(self, path: str) -> Literal["file", "stream", "mjpeg", "snapshot", "playlist"]:
        """Return what the response is. If its content must tell, it is requested again."""
        if self.media_type.startswith("multipart/"):
            return "mjpeg"
        is_jpeg = self.media_type in _UNTYPED and path.lower().endswith((".jpg", ".jpeg"))
        if is_jpeg or self.media_type in _JPEG_TYPES:
            return "snapshot"
        if self.media_type in _PLAYLIST_TYPES or path.endswith(".m3u8"):
            return "playlist"
        is_endless = self._size is None or (self._size in _NO_SIZE and not self._has_ranges)
        if self._begins_with_jpeg():
            self.is_jpegs = True
            is_one = self._is_one_picture()
            self._response.close()
            self._response = self._request_or_explain(0)
            if is_one or is_endless:
                return "snapshot" if is_one else "mjpeg"
        return "stream" if is_endless else "file"

    def _begins_with_jpeg(self) -> bool:
        """Return whether the response begins as a JPEG picture does, whatever its type is."""
        try:
            return self._response.peek(len(JPEG_START)).startswith(JPEG_START)
        except (OSError, HTTPException):  # the first read tells, or tries again
            return False

    def _is_one_picture(self) -> bool:
        """Read on until a second picture begins, and return whether none does."""
        splitter = JpegSplitter()
        pictures = 0
        try:
            while pictures < 2 and (data := self._response.read1(_READ)):
                pictures += sum(1 for _ in splitter.push(data))
                if pictures and splitter.has_begun:
                    return False
        except (OSError, HTTPException):
            return self._size is not None  # a stream without an end may send the next picture later
        except ValueError:
            return False
        return pictures < 2


def _file_size(response: HTTPResponse) -> int | None:
    """Return the size of the whole file in bytes, None if the server does not tell it."""
    found = re.search(r"/(\d{1,18})$", response.headers.get("Content-Range", ""))
    length = found[1] if found else response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None


def _modified(response: HTTPResponse) -> str | None:
    """Return when the file was modified; None if that is when it was sent, as for a generated file."""
    modified = response.headers.get("Last-Modified")
    return None if modified == response.headers.get("Date") else modified
