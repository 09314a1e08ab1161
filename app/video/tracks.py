"""The video tracks of a container, and which of them is analysed."""

from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from ..domain.media import VideoTrack
from .errors import VideoError, unsupported_codec_error
from .formats import LIMITS, MAX_PIXELS
from .memory import MAX_PIXELS_OF_ALL

PICTURE_CODECS = frozenset(["mjpeg", "png", "bmp", "tiff", "webp", "gif", "jpeg2000"])
_STILL = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_BRIEF, _FAR_LONGER = 1.0, 10  # seconds that a still picture may be shown; how much longer others are then


def tracks_of(container: InputContainer) -> tuple[VideoTrack, ...]:
    """Return the container's video tracks, in its order."""
    streams = container.streams.video
    is_alone = len(streams) == 1  # then no length and no codec makes it a still picture
    longest = 0.0 if is_alone else max((_seconds(stream) or 0.0 for stream in streams), default=0.0)
    has_video = any(_codec(stream) not in PICTURE_CODECS for stream in streams)
    return tuple(
        VideoTrack(
            number,
            codec=(codec := _codec(stream)),
            width=stream.width or None if codec else None,
            height=stream.height or None if codec else None,
            still=_is_marked_as_still(stream)
            or (not is_alone and _is_brief(stream, longest, has_video=has_video)),
        )
        for number, stream in enumerate(streams)
    )


def select_video(container: InputContainer, name: str, number: int | None = None) -> VideoStream:
    """Return the video track of that number, or the one that a player would choose, ready to decode.

    That is the first of those that are marked as default, else the first; a still picture only if there is
    no other track, and never cover art. `name` stands for the source in messages.

    Raises:
        VideoError: there is no such track, or it is not supported.
    """
    streams = container.streams.video
    if number is None and len(streams) == 1 and not streams[0].disposition & Disposition.attached_pic:
        return _ready(streams[0], name)
    tracks = tracks_of(container)
    if number is None:
        ranks = [
            (track.still, not stream.disposition & Disposition.default, track.number)
            for stream, track in zip(streams, tracks, strict=True)
            if not stream.disposition & Disposition.attached_pic
        ]
        if not ranks:
            art = f", only cover art ({_listed(tracks)})" if tracks else ""
            raise VideoError(f"{name} has no video stream{art}", retryable=False)
        number = min(ranks)[-1]
    elif number >= len(streams):
        raise VideoError(
            f"{name} has no video track {number}: it has {_listed(tracks) or 'none'}", retryable=False
        )
    return _ready(streams[number], name)


def _ready(stream: VideoStream, name: str) -> VideoStream:
    """Return the stream, set up to decode in the thread that calls. Raises VideoError."""
    if stream.codec_context is None:
        raise unsupported_codec_error(name)
    if stream.width * stream.height > MAX_PIXELS:
        raise VideoError(
            f"the pictures in {name} have {stream.width}x{stream.height} pixels: at most"
            f" {MAX_PIXELS:,} pixels are supported, as in 8192x4352",
            retryable=False,
        )
    # A stream that begins with small pictures may not go on with huge ones: no memory is reserved for them.
    most = MAX_PIXELS if stream.width * stream.height > MAX_PIXELS_OF_ALL else MAX_PIXELS_OF_ALL
    stream.codec_context.options = LIMITS | {"max_pixels": str(most)}
    # Every further thread costs CPU per picture: scenarios run in parallel instead.
    stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
    return stream


def _is_marked_as_still(stream: VideoStream) -> bool:
    return bool(stream.disposition & _STILL) or stream.frames == 1


def _is_brief(stream: VideoStream, longest: float, *, has_video: bool) -> bool:
    seconds = _seconds(stream)
    if seconds is None:
        return has_video and _codec(stream) in PICTURE_CODECS
    return seconds < _BRIEF and longest > _FAR_LONGER * seconds


def _codec(stream: VideoStream) -> str | None:
    """Return FFmpeg's name of the codec, None if FFmpeg has no decoder."""
    context: VideoCodecContext | None = stream.codec_context  # PyAV's types say that it is never None
    return context.name if context is not None else None


def _seconds(stream: VideoStream) -> float | None:
    """Return how long a track is, None if it is unknown."""
    hours, *rest = stream.metadata.get("DURATION", "").split(":")  # Matroska's, such as 00:01:02.345
    try:
        minutes, seconds = (float(part) for part in rest)
        return int(hours) * 3600 + minutes * 60 + seconds
    except ValueError:  # FFmpeg takes the longest track's for those of Matroska, so this comes second
        return float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None


def _listed(tracks: tuple[VideoTrack, ...]) -> str:
    return ", ".join(
        f"{track.number} ({track.codec or 'of an unknown codec'}"
        + (f", {track.width}x{track.height}" if track.width and track.height else "")
        + (", a still picture)" if track.still else ")")
        for track in tracks
    )
