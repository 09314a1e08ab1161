"""Opening containers: which formats and protocols may be opened, and by which deadline."""

import ctypes
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from threading import Event
from typing import Any, TypeVar, cast

import av
import av._core
from av.container import InputContainer
from av.error import EOFError as AvEOFError
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream
from msgspec import Struct

from ..domain.networks import Networks
from ..domain.source import Source, SourceError
from .errors import READ_ERRORS, VideoError, explain, no_ranges, not_a_video, not_text, unknown_codec
from .files import find_file
from .transport.http_client import HttpClient
from .transport.http_file import HttpFile
from .transport.playlist import Playlist
from .transport.rtsp_proxy import RtspProxy

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,live_flv,asf,ogg,mxf,nut,ivf,h264,hevc,obu,"
    "m4v,mjpeg,gif,dv,dhav,rm,wtv,yuv4mpegpipe"
)
"""Formats that hold their own data. Playlists, scripts and image patterns would open other files."""

_FILE = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_INDEXED = {"skip_frame": "all", "probesize": "32"}  # FFmpeg decodes a picture to learn what the index tells
_WEB = {"format_whitelist": f"{_FORMATS},mpjpeg", "protocol_whitelist": "none"}
_PLAYLIST = {
    "format_whitelist": f"{_FORMATS},hls,aac,mp3,webvtt",
    "protocol_whitelist": "none",
    "http_persistent": "0",  # only connections of FFmpeg's own can be kept open between segments
    "http_multiple": "0",
}
_RTSP = {
    "rtsp_transport": "tcp",
    "protocol_whitelist": "rtsp,tcp",
    "format_whitelist": "rtsp",
    "allowed_media_types": "video",  # sound that goes on would hide that the picture does not
}
_PATIENCE = 30.0  # seconds for a packet from the web: a playlist's next segment has to be waited for
_LATE = 3  # target durations without a new segment: it should be there after one and a half
_MOST_PIXELS = 8192 * 4352  # of a picture: the most that H.264 and H.265 allow at their level 6.2
_MOST_MEMORY = 160 * 2**20  # bytes of one piece, such as a picture of 4 bytes a pixel, or a stream's index
_LIMITS = {"max_pixels": str(_MOST_PIXELS), "max_streams": "20"}

_Stream = TypeVar("_Stream", bound=Stream)
_BUFFER = 256 * 1024  # bytes PyAV asks of an HttpFile at once


class Opened(Struct, frozen=True):
    """An open container and its video stream.

    `remote` is what it is read from, where that is on the web; each packet then has `packet_timeout` seconds
    to come. `paced`: packets come in bursts, to be spread over time.
    """

    container: InputContainer
    stream: VideoStream
    live: bool
    remote: HttpFile | Playlist | None = None
    packet_timeout: float = 0.0
    paced: bool = False

    def demux(self, *streams: _Stream) -> "Iterator[Packet[_Stream]]":
        """The packets of some streams. Raises what PyAV raises, and VideoError where the web failed."""
        # Dropped before its end, PyAV's generator keeps what it has allocated.
        demuxed = cast("Generator[Packet[_Stream], None, None]", self.container.demux(*streams))
        with closing(demuxed) as packets:
            while True:
                if self.remote is not None:
                    self.remote.begin(self.packet_timeout)
                try:
                    packet = next(packets, None)
                except UnicodeDecodeError as error:
                    raise not_text(self.remote.name if self.remote else "the source") from error
                # What came last may be cut off: for FFmpeg the failure is the end of the file.
                if self.remote is not None and self.remote.fault is not None:
                    raise self.remote.fault.again()
                if packet is None:
                    return
                yield packet


@contextmanager
def open_container(
    source: Source,
    media_root: Path,
    networks: Networks,
    *,
    stop: Event,
    open_timeout: float,
    read_timeout: float,
) -> Iterator[Opened]:
    """Open a source, and close it on the way out. Times are in seconds. Raises VideoError."""
    with ExitStack() as stack:
        try:
            opened = _open(source, media_root, networks, stack, stop, open_timeout, read_timeout)
        except SourceError as error:
            raise VideoError(str(error), retryable=False) from None
        except READ_ERRORS as error:
            raise explain(error, source) from error
        except UnicodeDecodeError as error:
            raise not_text(source.redacted) from error
        yield opened


def _open(
    source: Source,
    media_root: Path,
    networks: Networks,
    stack: ExitStack,
    stop: Event,
    open_timeout: float,
    read_timeout: float,
) -> Opened:
    match source.kind:
        case "file":
            container = stack.enter_context(_open_file(str(find_file(source, media_root))))
            return Opened(container, _video_of(container, source), live=False)
        case "test":
            container = stack.enter_context(_container(source.address, {}, format="lavfi"))
            return Opened(container, _video_of(container, source), live=source.live is True)
        case "rtsp":
            began = time.monotonic()
            relay = stack.enter_context(
                closing(RtspProxy(source.address, source.redacted, networks, open_timeout))
            )
            left = max(open_timeout - (time.monotonic() - began), 1.0)
            try:
                # FFmpeg notices only after twice the time that a read takes too long.
                container = _container(relay.url, _RTSP, timeout=(left, read_timeout / 2))
            except READ_ERRORS as error:
                raise (relay.fault.again() if relay.fault else error) from error
            stack.enter_context(container)
            return Opened(container, _video_of(container, source), live=True)
        case "http":
            web = HttpClient(networks, silence=read_timeout, seconds=open_timeout)
            file = stack.enter_context(closing(HttpFile(source.address, source.redacted, web, stop)))
            if file.kind == "playlist":
                file.close()
                playlist = stack.enter_context(closing(Playlist(source.redacted, web, stop)))
                return _open_playlist(file.url, playlist, source, stack, open_timeout, read_timeout)
            live = file.kind == "stream"
            file.begin(open_timeout if live else _PATIENCE)
            container = stack.enter_context(_open_http_file(file, source))
            patience = read_timeout if live else _PATIENCE
            return Opened(container, _video_of(container, source), live, file, patience)


def _open_playlist(
    url: str, playlist: Playlist, source: Source, stack: ExitStack, open_timeout: float, read_timeout: float
) -> Opened:
    patience = max(read_timeout, _PATIENCE)
    try:
        container = _container(
            url, _PLAYLIST, format="hls", io_open=playlist.open, timeout=(open_timeout, patience)
        )
    except READ_ERRORS as error:
        raise (playlist.fault.again() if playlist.fault else error) from error
    stack.enter_context(container)
    live = container.duration is None
    if live and playlist.target is not None:
        patience = min(patience, max(read_timeout, _LATE * playlist.target))
    return Opened(container, _video_of(container, source), live, playlist, patience, paced=live)


def _container(file: str | HttpFile, options: dict[str, str], **others: Any) -> InputContainer:
    """PyAV's `open`; what a recording says about itself need not be text."""
    container: InputContainer = av.open(
        file, "r", options=options | _LIMITS, metadata_errors="replace", **others
    )
    return container


def _open_file(path: str) -> InputContainer:
    try:
        if _is_mp4(path):
            container = _container(path, _FILE | _INDEXED)
            # In fragments there is no index to tell how far pictures are shown out of their order.
            if container.format.name.startswith("mov") and any(s.frames for s in container.streams.video):
                return container
            container.close()
        return _container(path, _FILE)
    except AvEOFError:
        # A fragmented mp4 that ends early opens only where it cannot look ahead.
        return _container(path, _FILE | {"seekable": "0"})


def _is_mp4(path: str) -> bool:
    with suppress(OSError), Path(path).open("rb") as file:  # what is wrong with it, FFmpeg says
        return file.read(8)[4:] == b"ftyp"
    return False


def _open_http_file(file: HttpFile, source: Source) -> InputContainer:
    form = "mpjpeg" if file.media_type == "multipart/x-mixed-replace" else None
    try:
        return _container(file, _WEB, format=form, buffer_size=_BUFFER)
    except READ_ERRORS as error:
        if file.fault is not None:
            raise file.fault.again() from error
        if file.kind == "file" and not file.seekable():
            raise no_ranges(source.redacted) from error
        raise not_a_video(source.redacted) from error


def _video_of(container: InputContainer, source: Source) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise unknown_codec(source.redacted)
            if stream.width * stream.height > _MOST_PIXELS:
                raise VideoError(
                    f"the pictures in {source.redacted} have {stream.width}x{stream.height} pixels:"
                    " at most 8192x4352 are supported, in any proportion",
                    retryable=False,
                )
            stream.codec_context.options = _LIMITS
            # Each further thread makes a picture cost more processor time: scenarios are the parallelism.
            stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
            return stream
    raise VideoError(f"{source.redacted} has no video stream", retryable=False)


# FFmpeg believes what a file of a kilobyte says about itself, up to 2 GiB a piece.
_ffmpeg = ctypes.CDLL(av._core.__file__)  # noqa: SLF001 - PyAV has no name of its own for what follows
_ffmpeg.av_max_alloc.argtypes, _ffmpeg.av_max_alloc.restype = [ctypes.c_size_t], None
_ffmpeg.av_max_alloc(_MOST_MEMORY)
