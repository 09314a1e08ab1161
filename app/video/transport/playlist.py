"""What a playlist names, opened for FFmpeg, which by itself opens nothing."""

import re
from collections.abc import Mapping
from io import BytesIO
from threading import Event

from ..errors import VideoError
from .http_client import HttpClient
from .http_file import HttpFile

_MOST_FILES = 200  # opened until there is a packet
_TARGET = re.compile(rb"^#EXT-X-TARGETDURATION:(\d{1,4})\b", re.MULTILINE)
_MOST_TEXT = 8 * 2**20  # bytes of a playlist, each line of which takes many times its size of memory


class Playlist:
    """Opens the files of one playlist, itself included.

    `fault` is the first failure. From then on every file is empty: FFmpeg would go on without those that it
    cannot open. `target` is about how long the segments are, in seconds, once that was read.
    """

    def __init__(self, name: str, web: HttpClient, stop: Event) -> None:
        self.name = name
        self.fault: VideoError | None = None
        self.target: int | None = None
        self._web = web
        self._stop = stop
        self._open_files: set[_PlaylistFile] = set()
        self._opened = 0
        self._begun = False

    def begin(self, seconds: float) -> None:
        """Reading for the next packet begins, which may take so many seconds."""
        self._opened = 0
        self._web.begin(seconds)

    def open(self, url: str, _flags: int, options: Mapping[str, str]) -> "HttpFile | BytesIO":
        """PyAV's `io_open`. What it raises would be printed, or lost."""
        if self.fault is None:
            try:
                return self._open(url, int(options.get("offset", 0)))
            except VideoError as fault:
                self.fault = fault.again()
        return BytesIO()

    def _open(self, url: str, offset: int) -> "_PlaylistFile":
        scheme = url.partition(":")[0]
        if scheme.startswith("crypto"):
            raise VideoError(f"{self.name} is encrypted, which is not supported", retryable=False)
        if scheme not in ("http", "https"):
            raise VideoError(
                f"{self.name} names a {scheme[:20]}: address: only what is on the web is opened",
                retryable=False,
            )
        name = f"a file of {self.name}" if self._begun else self.name
        self._begun = True
        self._opened += 1
        if self._opened > _MOST_FILES:
            raise VideoError(f"{self.name} names too many files before any picture", retryable=False)
        file = _PlaylistFile(url, name, self, self._web, self._stop)
        file.seek(offset)
        self._open_files.add(file)
        return file

    def forget(self, file: "_PlaylistFile") -> None:
        """Drop a file that was closed."""
        self._open_files.discard(file)

    def close(self) -> None:
        """Close what is still open: FFmpeg does not close what it began with."""
        for file in list(self._open_files):
            file.close()


class _PlaylistFile(HttpFile):
    """A file that a playlist names, or the playlist."""

    def __init__(self, url: str, name: str, playlist: Playlist, web: HttpClient, stop: Event) -> None:
        super().__init__(url, name, web, stop)
        self._playlist = playlist
        self._is_text = False

    def read(self, size: int) -> bytes:
        """As of any file, but for the length of a playlist's text."""
        first = self.tell() == 0
        data = super().read(size)
        self._is_text = self._is_text or (first and data.startswith(b"#EXTM3U"))
        if self._is_text and (found := _TARGET.search(data)):
            self._playlist.target = int(found[1])
        if self._is_text and self.tell() > _MOST_TEXT:
            self.fault = VideoError(f"{self.name} is too long a playlist", retryable=False)
        if self.fault is not None:
            self._playlist.fault = self._playlist.fault or self.fault
            return b""
        return data

    def close(self) -> None:
        """Drop the connection."""
        super().close()
        self._playlist.forget(self)
