"""Read recordings and streams over HTTP, with range requests.

FFmpeg 8.1's own HTTP reader reuses connections that it asked the server to close, and so loses the first
frame of every mp4 with its index at the end. It also follows redirects, and host names whose address changes,
to any address.
"""

import io
import re
from base64 import b64encode
from http.client import HTTPException, HTTPResponse
from threading import Event
from typing import Literal
from urllib.parse import unquote, urlsplit

from ...domain.pins import FileIdentity
from ..errors import VideoError, connection_error, status_error
from .http_client import HttpClient, InvalidAddressError, StatusError

_PLAYLIST_TYPES = frozenset(["application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl"])
_RETRY_DELAYS = (0.0, 0.25, 0.5, 1.0)  # seconds before each read after the connection was lost
_MAX_SKIP = 256 * 1024  # bytes: a seek this far ahead reads on, because a new request takes longer


class HttpFile:
    """A file on a web server, for PyAV to read. Not thread safe.

    `kind` is `stream` if the size is not known, and `playlist` if the file names other files. `url` is the
    address after redirects. PyAV loses what `read` raises: after a failure `read` returns `b""`, and `fault`
    is the reason.
    """

    def __init__(self, url: str, name: str, client: HttpClient, stop: Event) -> None:
        """Send the first request; `name` stands for the file in messages. Raises VideoError."""
        self.name = name
        self.fault: VideoError | None = None
        self._requested_url = url
        self._client = client
        self._stop = stop
        try:
            parts = urlsplit(url)
        except ValueError:  # a playlist may contain anything
            raise connection_error(InvalidAddressError(), name) from None
        login = parts.netloc.rpartition("@")[0]
        self._login = (
            {"Authorization": "Basic " + b64encode(unquote(login).encode()).decode()} if login else {}
        )
        try:
            self._response = self._request(0)
        except StatusError as error:
            raise status_error(error.status, name) from None
        except (OSError, HTTPException) as error:
            raise connection_error(error, name) from None
        self.url = self._response.geturl()
        self._position = 0  # of the next read
        self._response_position = 0  # of the next byte in the response
        self._has_ranges = self._response.status == 206
        self._size = _file_size(self._response)
        self._etag = self._response.headers.get("ETag")
        self.media_type = self._response.headers.get_content_type()
        self.kind: Literal["file", "playlist", "stream"] = "file"
        if self.media_type in _PLAYLIST_TYPES or parts.path.endswith(".m3u8"):
            self.kind = "playlist"
        elif self._size is None:
            self.kind = "stream"

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
            except VideoError as fault:
                self.fault = fault.without_traceback()
                return b""
            except StatusError as error:
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
            is_same = (
                _file_size(self._response) == self._size and self._response.headers.get("ETag") == self._etag
            )
            if self._response.status != 206 or not is_same:
                raise VideoError(f"{self.name} was changed on its server while it was read", retryable=False)
        elif ahead:
            self._response_position += len(self._response.read(ahead))
            if self._response_position != self._position:
                return b""
        data = self._response.read1(size)
        self._response_position += len(data)
        return data

    def _request(self, first_byte: int) -> HTTPResponse:
        headers = {"User-Agent": "videoanalysis", "Range": f"bytes={first_byte}-"}
        return self._client.get(self._requested_url, headers | self._login)


def _file_size(response: HTTPResponse) -> int | None:
    """Return the size of the whole file in bytes, None if the server does not tell it."""
    found = re.search(r"/(\d{1,18})$", response.headers.get("Content-Range", ""))
    length = found[1] if found else response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None
