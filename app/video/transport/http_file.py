"""Recordings and streams over HTTP, read by ranges.

FFmpeg 8.1's own reader asks again on connections that it told the server to close, and so silently loses the
first frame of every mp4 whose index is at its end. It also follows redirects, and names that change their
address, wherever they lead.
"""

import io
import re
from base64 import b64encode
from http.client import HTTPException, HTTPResponse
from threading import Event
from typing import Literal
from urllib.parse import unquote, urlsplit

from ..errors import VideoError, status_error, unreachable
from .http_client import HttpClient, NoAddressError, StatusError

_PLAYLISTS = frozenset(["application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl"])
_WAITS = (0.0, 0.25, 0.5, 1.0)  # seconds before each try to go on where the connection was dropped
_NEAR = 256 * 1024  # a seek this far ahead reads on rather than asking again


class HttpFile:
    """A file on a web server, for PyAV to read. Not thread safe.

    `kind` is `stream` where its size is not known, and `playlist` where it names other files; `url` is where
    redirects led to. PyAV loses what `read` raises, so a failure looks like the end of the file, and is kept
    in `fault`.
    """

    def __init__(self, url: str, name: str, web: HttpClient, stop: Event) -> None:
        """Connect; `name` is the file's for messages. Raises VideoError."""
        self.name = name
        self.fault: VideoError | None = None
        self._asked = url
        self._web = web
        self._stop = stop
        try:
            parts = urlsplit(url)
        except ValueError:  # of a playlist's making
            raise unreachable(NoAddressError(), name) from None
        login = parts.netloc.rpartition("@")[0]
        self._login = (
            {"Authorization": "Basic " + b64encode(unquote(login).encode()).decode()} if login else {}
        )
        try:
            self._response = self._ask(0)
        except StatusError as error:
            raise status_error(error.status, name) from None
        except (OSError, HTTPException) as error:
            raise unreachable(error, name) from None
        self.url = self._response.geturl()
        self._place = self._standing = 0  # where the next read begins, and where the response stands
        self._ranges = self._response.status == 206
        self._size = _size(self._response)
        self._etag = self._response.headers.get("ETag")
        self.media_type = self._response.headers.get_content_type()
        self.kind: Literal["file", "playlist", "stream"] = "file"
        if self.media_type in _PLAYLISTS or parts.path.endswith(".m3u8"):
            self.kind = "playlist"
        elif self._size is None:
            self.kind = "stream"

    def begin(self, seconds: float) -> None:
        """Reading for the next packet begins, which may take so many seconds."""
        self._web.begin(seconds)

    def read(self, size: int) -> bytes:
        """At most `size` bytes from the current place on; none at the end, or after a failure."""
        if self.fault is not None or (self._size is not None and self._place >= self._size):
            return b""
        for wait in _WAITS:
            if self._stop.wait(wait):
                break
            try:
                data = self._read(size)
            except VideoError as fault:
                self.fault = fault.again()
                return b""
            except StatusError as error:
                if error.status < 500:
                    break
            except TimeoutError:
                break
            except (OSError, HTTPException):
                pass
            else:
                self._place += len(data)
                if data or self._size is None:
                    return data
            self._response.close()
            if not self._ranges:
                break
        total = "" if self._size is None else f" of {self._size}"
        self.fault = VideoError(
            f"the connection to {self.name} was lost after {self._place}{total} bytes", retryable=True
        )
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; nothing is asked of the server before the next read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size or 0}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seekable(self) -> bool:
        """Whether the server gives ranges."""
        return self._ranges

    def close(self) -> None:
        """Drop the connection."""
        self._response.close()

    def _read(self, size: int) -> bytes:
        if self._size is None:
            return self._response.read1(size)
        ahead = self._place - self._standing
        if self._response.isclosed() or not 0 <= ahead <= _NEAR:
            self._response.close()
            self._response, self._standing = self._ask(self._place), self._place
            is_same = _size(self._response) == self._size and self._response.headers.get("ETag") == self._etag
            if self._response.status != 206 or not is_same:
                raise VideoError(f"{self.name} was changed on its server while it was read", retryable=False)
        elif ahead:
            self._standing += len(self._response.read(ahead))
            if self._standing != self._place:
                return b""
        data = self._response.read1(size)
        self._standing += len(data)
        return data

    def _ask(self, first: int) -> HTTPResponse:
        headers = {"User-Agent": "videoanalysis", "Range": f"bytes={first}-"}
        return self._web.get(self._asked, headers | self._login)


def _size(response: HTTPResponse) -> int | None:
    """The size of the whole file."""
    found = re.search(r"/(\d{1,18})$", response.headers.get("Content-Range", ""))
    length = found[1] if found else response.headers.get("Content-Length", "")
    return int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None
