"""Open an HLS playlist and its segments for FFmpeg, which opens no file on its own."""

from collections.abc import Iterable, Mapping
from io import SEEK_SET, BytesIO
from itertools import chain
from threading import Event

from msgspec import Struct
from msgspec.structs import asdict, replace

from ...domain.media import VideoTrack
from ..errors import VideoError
from ..fragments import FragmentMemory, FragmentScanner
from .http_client import HttpClient
from .http_file import HttpFile
from .m3u8 import END, HEAD, HEAD_BYTES, count_lines, parse_m3u8
from .read_segments import ReadSegments

_MAX_FILES = 200  # per packet
_MAX_ADDRESS = 4096  # characters of a playlist's own address, which FFmpeg puts before relative ones
_READ = 64 * 1024  # bytes


class TextSize(Struct, frozen=True):
    """How large playlists are. `address_bytes` is what the whole addresses of all their segments take."""

    text_bytes: int = 0
    lines: int = 0
    address_bytes: int = 0


_WORDS = {"text_bytes": "text", "address_bytes": "addresses"}
MAX_SIZE = TextSize(text_bytes=8 * 2**20, lines=200_000, address_bytes=32 * 2**20)
"""The most that all playlists of one source may be: FFmpeg keeps many times their text in memory."""


class Playlist:
    """Opens the files of one playlist, including the playlist itself.

    `fault` is the first failure. After it every file is empty, because FFmpeg skips files that it cannot
    open. `target_duration` is the nominal length of a segment in seconds, None until it was read. If the
    playlist is a list of variants, `variants` are these, and number `variant` is read.
    """

    def __init__(
        self,
        name: str,
        client: HttpClient,
        stop: Event,
        chosen: int | None,
        memory: FragmentMemory,
        segments: ReadSegments | None = None,
    ) -> None:
        """Number `chosen` of several variants is read, None: the best one.

        `segments` are those that earlier connections have read.
        """
        self._segments = segments or ReadSegments()
        self._segments.reconnect()
        self._is_new = True
        self.memory = memory
        """What FFmpeg takes for the fragments of its segments."""
        self.name = name
        self.fault: VideoError | None = None
        self.target_duration: int | None = None
        self._client = client
        self._stop = stop
        self._open_files: set[_PlaylistFile] = set()
        self._is_open = False
        self.variants: tuple[VideoTrack, ...] = ()
        self.variant: int | None = None
        self._chosen = chosen
        self._sizes: dict[str, TextSize] = {}  # of the newest text of each playlist, by address
        self._files_of_packet = 0

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
        self._segments.note_opened(url)
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

    def read_text(self, url: str, chunks: Iterable[bytes]) -> bytes:
        """Return the text of a playlist as FFmpeg is to read it. Raises VideoError."""
        if len(url) > _MAX_ADDRESS:
            raise VideoError(
                f"{self.name} leads to a playlist whose address has more than {_MAX_ADDRESS:,} characters",
                retryable=False,
            )
        text = bytearray()
        for chunk in chunks:
            text += chunk
            self._note_size(url, TextSize(len(text)))
        size = TextSize(len(text), count_lines(text))
        self._note_size(url, size)
        if self._is_new and b"#EXTINF" in text and END not in text:
            text = bytearray(self._segments.without_read(bytes(text), url, self.name))
            self._is_new = False
        found = parse_m3u8(bytes(text), self.name, len(url.partition("?")[0]), self._chosen)
        if found.is_live:
            self._segments.note_listed(found.text, url)
        self._note_size(url, replace(size, address_bytes=found.address_bytes))
        if found.variants:
            if self.variants:
                raise VideoError(f"{self.name} names a list of variants as a variant", retryable=False)
            self.variants, self.variant = found.variants, found.variant
        self.target_duration = found.target_duration or self.target_duration
        return found.text

    def _note_size(self, url: str, size: TextSize) -> None:
        """Replace the size of a playlist. Raises VideoError if all playlists are too large together."""
        self._sizes[url] = size
        for name, limit in asdict(MAX_SIZE).items():
            if sum(getattr(size, name) for size in self._sizes.values()) > limit:
                amount = f"{limit:,} lines" if name == "lines" else f"{limit >> 20} MiB of {_WORDS[name]}"
                raise VideoError(f"{self.name} has playlists of more than {amount}", retryable=False)

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
        self.scan = FragmentScanner(playlist.memory).scan
        self._opened_url = url
        self._text: BytesIO | None = None

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; `b""` at the end or after a failure."""
        if self._text is None and self.tell() == 0:
            try:
                data = self._begin(size)
            except VideoError as fault:
                self.fault, data = fault.without_traceback(), b""
        else:
            data = super().read(size) if self._text is None else self._text.read(size)
        if self.fault is not None:
            self._playlist.fault = self._playlist.fault or self.fault
            return b""
        return data

    def seek(self, offset: int, whence: int = SEEK_SET) -> int:
        """Move the position, and return it."""
        return super().seek(offset, whence) if self._text is None else self._text.seek(offset, whence)

    def _begin(self, size: int) -> bytes:
        """Return the first bytes. Raises VideoError if they are of a playlist that is too long."""
        data = b""
        while len(data) < HEAD_BYTES and (more := super().read(size)):
            data += more
        if not HEAD.match(data):
            return data
        rest = iter(lambda: super(_PlaylistFile, self).read(_READ), b"")
        self._text = BytesIO(self._playlist.read_text(self._opened_url, chain([data], rest)))
        return self._text.read(size)

    def close(self) -> None:
        """Close the connection."""
        super().close()
        self._playlist.forget(self)
