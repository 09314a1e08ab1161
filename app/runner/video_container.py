"""Opening containers: which formats and protocols may be opened, and by which deadline."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event

import av
from av.container import InputContainer
from av.error import EOFError as AvEOFError
from av.stream import Disposition
from av.video.stream import VideoStream
from msgspec import Struct

from app.runner.video_errors import READ_ERRORS, VideoError, explain, no_ranges, not_a_video, unknown_codec
from app.runner.video_http import HttpFile
from app.source import Source, SourceError

_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,live_flv,asf,ogg,mxf,nut,ivf,h264,hevc,obu,"
    "m4v,mjpeg,gif,dv,dhav,rm,wtv,yuv4mpegpipe"
)
"""Formats that hold their own data. Playlists, scripts and image patterns would open other files."""

_FILE = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_HTTP = {
    "format_whitelist": f"{_FORMATS},hls,mpjpeg,aac,mp3,webvtt",
    "protocol_whitelist": "http,https,tcp,tls,crypto",
    "seg_max_retry": "3",
}
_RTSP = {
    "rtsp_transport": "tcp",
    "protocol_whitelist": "rtsp,rtsps,rtp,tcp,tls,udp,crypto",
    "format_whitelist": "rtsp,rtp,mpegts,sdp",
}
_SEGMENT_TIMEOUT = 30.0  # seconds: the next segment of a live playlist is waited for inside a read
_BUFFER = 256 * 1024  # bytes PyAV asks of an HttpFile at once


class Opened(Struct, frozen=True):
    """An open container and its video stream.

    `file` is what it is read from, where that is ours. `paced`: it comes in bursts, to be spread over time.
    """

    container: InputContainer
    stream: VideoStream
    live: bool
    file: HttpFile | None = None
    paced: bool = False


@contextmanager
def open_container(
    source: Source, media_root: Path, *, stop: Event, open_timeout: float, read_timeout: float
) -> Iterator[Opened]:
    """Open a source, and close it on the way out. Times are in seconds. Raises VideoError."""
    with ExitStack() as stack:
        try:
            opened = _open(source, media_root, stack, stop, open_timeout, read_timeout)
        except SourceError as error:
            raise VideoError(str(error), retryable=False) from None
        except READ_ERRORS as error:
            raise explain(error, source) from error
        yield opened


def _open(
    source: Source, media_root: Path, stack: ExitStack, stop: Event, open_timeout: float, read_timeout: float
) -> Opened:
    match source.kind:
        case "file":
            container = stack.enter_context(_open_file(str(source.resolve(media_root))))
            return Opened(container, _video_of(container, source), live=False)
        case "test":
            container = stack.enter_context(av.open(source.address, format="lavfi"))
            return Opened(container, _video_of(container, source), live=source.live is True)
        case "rtsp":
            # FFmpeg notices only after twice the time that a read takes too long.
            deadlines = (open_timeout, read_timeout / 2)
            container = stack.enter_context(av.open(source.address, options=_RTSP, timeout=deadlines))
            return Opened(container, _video_of(container, source), live=True)
        case "http":
            file = stack.enter_context(closing(HttpFile(source, read_timeout, stop)))
            if file.kind == "file":
                container = stack.enter_context(_open_http_file(file, source))
                return Opened(container, _video_of(container, source), live=False, file=file)
            file.close()
            playlist = file.kind == "playlist"
            deadlines = (open_timeout, max(read_timeout, _SEGMENT_TIMEOUT) if playlist else read_timeout)
            container = stack.enter_context(av.open(source.address, options=_HTTP, timeout=deadlines))
            live = not playlist or container.duration is None
            return Opened(container, _video_of(container, source), live=live, paced=live and playlist)


def _open_file(path: str) -> InputContainer:
    try:
        return av.open(path, options=_FILE)
    except AvEOFError:
        # A fragmented mp4 that ends early opens only where it cannot look ahead.
        return av.open(path, options={**_FILE, "seekable": "0"})


def _open_http_file(file: HttpFile, source: Source) -> InputContainer:
    try:
        return av.open(file, "r", options=_FILE, buffer_size=_BUFFER)
    except READ_ERRORS as error:
        if file.fault is not None:
            raise file.fault from error
        if not file.seekable():
            raise no_ranges(source.redacted) from error
        raise not_a_video(source.redacted) from error


def _video_of(container: InputContainer, source: Source) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            if stream.codec_context is None:
                raise unknown_codec(source.redacted)
            return stream
    raise VideoError(f"{source.redacted} has no video stream", retryable=False)
