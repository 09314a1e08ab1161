"""Open a source as a container, and read its packets with a deadline for each."""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event
from typing import TypeVar, cast

from av.container import InputContainer
from av.error import ArgumentError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream
from msgspec import Struct
from msgspec.structs import replace

from ..domain.media import VideoTrack
from ..domain.networks import Networks
from ..domain.pins import FileIdentity
from ..domain.reason import ScenarioWarning
from ..domain.source import Source, SourceError
from . import formats
from .declared_index import Index
from .errors import (
    READ_ERRORS,
    VideoError,
    no_ranges_error,
    not_a_video_error,
    playlist_encoding_error,
    read_error,
)
from .files import find_file
from .fragments import FragmentMemory
from .identity import identify_open
from .memory import VIDEO_MEMORY, decoder_size
from .tracks import select_video
from .transport.http_client import HttpClient
from .transport.http_file import HttpFile
from .transport.jpeg_stream import JpegStream
from .transport.playlist import Playlist
from .transport.read_segments import ReadSegments
from .transport.rtsp.proxy import RtspProxy
from .transport.snapshots import Snapshots

HTTP_TIMEOUT = 30.0  # seconds for a packet of a recording or playlist, whose next segment must be waited for
_LATE_SEGMENTS = 3  # target durations without a new segment: a server publishes one after one and a half

_Stream = TypeVar("_Stream", bound=Stream)


class OpenContainer(Struct, frozen=True):
    """An open container and its video stream.

    `remote` is what the container is read from over HTTP, None for other sources. Each packet of it has
    `packet_timeout` seconds to arrive. `is_bursty`: packets arrive in bursts, which must be spread over time.
    `proxy` is what it is read from over RTSP.
    """

    container: InputContainer
    stream: VideoStream
    is_live: bool
    remote: HttpFile | Playlist | Snapshots | None = None
    packet_timeout: float = 0.0
    is_bursty: bool = False
    identity: FileIdentity | None = None
    variants: tuple[VideoTrack, ...] = ()  # of a playlist that lists several
    variant: int | None = None  # the number of the one that is read
    warnings: tuple[ScenarioWarning, ...] = ()  # what opening found that a user should know
    index: Index = Index(is_mp4=False)  # what was found of it before opening
    aspect: float | None = None  # width by height on a screen, if the user gave it
    proxy: RtspProxy | None = None

    def demux(self, *streams: _Stream) -> "Iterator[Packet[_Stream]]":
        """Yield the packets of the given streams. Raises READ_ERRORS, or VideoError if `remote` failed."""
        packets = self._demux(*streams)
        try:
            while True:
                if self.remote is not None:
                    self.remote.start_packet(self.packet_timeout)
                try:
                    packet = next(packets, None)
                except UnicodeDecodeError as error:
                    raise playlist_encoding_error(
                        self.remote.name if self.remote else "the source"
                    ) from error
                except BlockingIOError:
                    if self.container.format.name != "mpegts":
                        raise
                    # 64 KiB held no packet of MPEG-TS. FFmpeg goes on behind them.
                    packets.close()
                    packets = self._demux(*streams)
                    continue
                except IndexError:  # of PyAV at the end, if a track appeared in the middle of the file
                    packet = None
                # FFmpeg takes a failure for the end of the file, so the last packet may be cut off.
                if self.remote is not None and self.remote.fault is not None:
                    raise self.remote.fault.without_traceback()
                if packet is None:
                    if isinstance(self.remote, HttpFile):
                        self.remote.check_unchanged()
                    return
                yield packet
        finally:
            packets.close()

    def _demux(self, *streams: _Stream) -> "Generator[Packet[_Stream], None, None]":
        """Return PyAV's generator, which keeps what it allocated unless it is closed."""
        return cast("Generator[Packet[_Stream], None, None]", self.container.demux(*streams))


@contextmanager
def open_container(
    source: Source,
    media_root: Path,
    networks: Networks,
    *,
    stop: Event,
    open_timeout: float,
    read_timeout: float,
    segments: ReadSegments | None = None,
) -> Iterator[OpenContainer]:
    """Open a source, and close it on exit. Times are in seconds. Raises VideoError.

    `segments` are those of a live playlist that earlier connections have read.
    """
    with ExitStack() as stack:

        def reserve(size: int) -> None:
            stack.enter_context(VIDEO_MEMORY.reserved(size, stop, source.redacted))

        try:
            match source.kind:
                case "file":
                    path = find_file(source, media_root)
                    with path.open("rb") as file:
                        identity = identify_open(file)
                        container, index = formats.open_file(path, file, source.redacted, reserve)
                    stack.enter_context(container)
                    opened = replace(
                        _with_video(container, source, is_live=False),
                        identity=identity,
                        index=index,
                    )
                case "test":
                    container = stack.enter_context(formats.open_test_pattern(source.address))
                    opened = _with_video(container, source, is_live=source.live is True)
                case "rtsp":
                    opened = _open_rtsp(source, networks, stack, open_timeout, read_timeout)
                case "http":
                    client = HttpClient(networks, silence_timeout=read_timeout, timeout=open_timeout)
                    opened = _open_http(
                        source, client, stack, stop, open_timeout, read_timeout, reserve, segments
                    )
                case "scenario":
                    raise SourceError("a scenario has no pictures of its own: open the source that it names")
            reserve(decoder_size(opened.stream))
        except SourceError as error:
            raise VideoError(str(error), retryable=False) from None
        except READ_ERRORS as error:
            raise read_error(error, source) from error
        except UnicodeDecodeError as error:
            raise playlist_encoding_error(source.redacted) from error
        yield replace(opened, aspect=source.aspect)


def _with_video(container: InputContainer, source: Source, *, is_live: bool) -> OpenContainer:
    return OpenContainer(container, select_video(container, source.redacted, source.track), is_live)


def _open_rtsp(
    source: Source, networks: Networks, stack: ExitStack, open_timeout: float, read_timeout: float
) -> OpenContainer:
    started = time.monotonic()
    proxy = stack.enter_context(closing(RtspProxy(source.address, source.redacted, networks, open_timeout)))
    left = max(open_timeout - (time.monotonic() - started), 1.0)
    try:
        container = formats.open_rtsp(proxy.url, open_timeout=left, read_timeout=read_timeout)
    except READ_ERRORS as error:
        raise (proxy.fault.without_traceback() if proxy.fault else error) from error
    stack.enter_context(container)
    return replace(_with_video(container, source, is_live=True), proxy=proxy)


def _open_http(
    source: Source,
    client: HttpClient,
    stack: ExitStack,
    stop: Event,
    open_timeout: float,
    read_timeout: float,
    reserve: Callable[[int], None],
    segments: ReadSegments | None,
) -> OpenContainer:
    file = stack.enter_context(closing(HttpFile(source.address, source.redacted, client, stop)))
    if file.kind == "playlist":
        file.close()
        playlist = stack.enter_context(
            closing(Playlist(source.redacted, client, stop, source.track, FragmentMemory(reserve), segments))
        )
        return _open_playlist(file.url, playlist, source, stack, open_timeout, read_timeout)
    if file.kind in ("mjpeg", "snapshot"):
        return _open_jpeg_stream(file, source, stack, stop, open_timeout, read_timeout)
    is_live = file.kind == "stream"
    file.start_packet(open_timeout if is_live else HTTP_TIMEOUT)
    try:
        container, index = formats.open_http_file(file, reserve)
        stack.enter_context(container)
    except READ_ERRORS as error:
        if file.fault is not None:
            raise file.fault.without_traceback() from error
        if file.kind == "file" and not file.seekable():
            raise no_ranges_error(source.redacted) from error
        raise not_a_video_error(source.redacted) from error
    stream = select_video(container, source.redacted, source.track)
    return OpenContainer(
        container,
        stream,
        is_live,
        remote=file,
        packet_timeout=read_timeout if is_live else HTTP_TIMEOUT,
        identity=None if is_live else file.identity,
        index=index,
    )


def _open_jpeg_stream(
    file: HttpFile,
    source: Source,
    stack: ExitStack,
    stop: Event,
    open_timeout: float,
    read_timeout: float,
) -> OpenContainer:
    remote = Snapshots(file, stop) if file.kind == "snapshot" else file
    remote.start_packet(open_timeout)
    try:
        container = formats.open_jpeg_stream(JpegStream(remote) if isinstance(remote, HttpFile) else remote)
    except READ_ERRORS as error:
        raise (remote.fault.without_traceback() if remote.fault else error) from error
    stack.enter_context(container)
    stream = select_video(container, source.redacted, source.track)
    return OpenContainer(container, stream, is_live=True, remote=remote, packet_timeout=read_timeout)


def _open_playlist(
    url: str, playlist: Playlist, source: Source, stack: ExitStack, open_timeout: float, read_timeout: float
) -> OpenContainer:
    packet_timeout = max(read_timeout, HTTP_TIMEOUT)
    try:
        container = formats.open_hls(url, playlist, open_timeout=open_timeout, read_timeout=packet_timeout)
    except READ_ERRORS as error:
        if playlist.fault is None and isinstance(error, ArgumentError):
            raise VideoError(
                f"{source.redacted} has segments that cannot be read: only MPEG-TS and mp4 are supported",
                retryable=False,
            ) from error
        raise (playlist.fault.without_traceback() if playlist.fault else error) from error
    stack.enter_context(container)
    is_live = container.duration is None
    if is_live and playlist.target_duration is not None:
        packet_timeout = min(packet_timeout, max(read_timeout, _LATE_SEGMENTS * playlist.target_duration))
    stream = select_video(container, source.redacted, None if playlist.variants else source.track)
    return OpenContainer(
        container,
        stream,
        is_live,
        playlist,
        packet_timeout,
        is_bursty=is_live,
        variants=playlist.variants,
        variant=playlist.variant,
    )
