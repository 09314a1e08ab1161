"""Open an HLS playlist and its segments for FFmpeg, which opens no file on its own."""

import re
from collections.abc import Mapping
from io import BytesIO
from threading import Event

from ..errors import VideoError
from .http_client import HttpClient
from .http_file import HttpFile

_MAX_FILES = 200  # per packet
_TARGET_DURATION = re.compile(rb"^#EXT-X-TARGETDURATION:(\d{1,4})\b", re.MULTILINE)
_MAX_TEXT = 8 * 2**20  # bytes of a playlist, whose lines take many times their size in memory


class Playlist:
    """Opens the files of one playlist, including the playlist itself.

    `fault` is the first failure. After it every file is empty, because FFmpeg skips files that it cannot
    open. `target_duration` is the nominal length of a segment in seconds, None until it was read.
    """

    def __init__(self, name: str, client: HttpClient, stop: Event) -> None:
        self.name = name
        self.fault: VideoError | None = None
        self.target_duration: int | None = None
        self._client = client
        self._stop = stop
        self._open_files: set[_PlaylistFile] = set()
        self._files_of_packet = 0
        self._is_open = False

    def start_packet(self, timeout: float) -> None:
        """Start to read the next packet, which may take `timeout` seconds."""
        self._files_of_packet = 0
        self._client.start_packet(timeout)

    def open(self, url: str, _flags: int, options: Mapping[str, str]) -> "HttpFile | BytesIO":
        """Open a file: PyAV's `io_open`. It raises nothing, because PyAV prints or loses exceptions here."""
        if self.fault is None:
            try:
                return self._open(url, int(options.get("offset", 0)))
            except VideoError as fault:
                self.fault = fault.without_traceback()
        return BytesIO()

    def _open(self, url: str, offset: int) -> "_PlaylistFile":
        scheme = url.partition(":")[0]
        if scheme.startswith("crypto"):
            raise VideoError(f"{self.name} is encrypted, which is not supported", retryable=False)
        if scheme not in ("http", "https"):
            raise VideoError(
                f"{self.name} names a {scheme[:20]}: address: only http: and https: are opened",
                retryable=False,
            )
        name = f"a file of {self.name}" if self._is_open else self.name
        self._is_open = True
        self._files_of_packet += 1
        if self._files_of_packet > _MAX_FILES:
            raise VideoError(
                f"{self.name} names more than {_MAX_FILES} files before the next picture", retryable=False
            )
        file = _PlaylistFile(url, name, self, self._client, self._stop)
        file.seek(offset)
        self._open_files.add(file)
        return file

    def forget(self, file: "_PlaylistFile") -> None:
        """Forget a file that was closed."""
        self._open_files.discard(file)

    def close(self) -> None:
        """Close all files: FFmpeg does not close the first one."""
        for file in list(self._open_files):
            file.close()


class _PlaylistFile(HttpFile):
    """The playlist, or a file that it names. A fault becomes the playlist's."""

    def __init__(self, url: str, name: str, playlist: Playlist, client: HttpClient, stop: Event) -> None:
        super().__init__(url, name, client, stop)
        self._playlist = playlist
        self._is_text = False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; `b""` at the end, after a failure, or if a playlist is too long."""
        is_beginning = self.tell() == 0
        data = super().read(size)
        self._is_text = self._is_text or (is_beginning and data.startswith(b"#EXTM3U"))
        if self._is_text and (found := _TARGET_DURATION.search(data)):
            self._playlist.target_duration = int(found[1])
        if self._is_text and self.tell() > _MAX_TEXT:
            self.fault = VideoError(
                f"{self.name} is a playlist of more than {_MAX_TEXT >> 20} MiB", retryable=False
            )
        if self.fault is not None:
            self._playlist.fault = self._playlist.fault or self.fault
            return b""
        return data

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._playlist.forget(self)
