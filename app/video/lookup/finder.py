"""Find one frame of a recording by its ordinal and its time."""

import time
from pathlib import Path
from threading import Event, Timer

from av.error import FFmpegError
from msgspec import Struct

from ...domain.networks import Networks
from ...domain.pins import FileIdentity, PinnedError, Pins, compare
from ...domain.sampling import CandidateFrames, EveryFrame
from ...domain.source import Source, SourceError
from ..avi_index import count_pictures
from ..container import OpenContainer, open_container
from ..demuxer import UNTIMED
from ..errors import READ_ERRORS, VideoError, read_error
from ..files import find_file
from ..identity import identify
from ..pictures import AvPicture
from ..reading import SampledFrame
from ..recording import Recording
from .clock import has_one_clock
from .seeking import FrameSeeker, SeekTimeoutError

_SEEKABLE = frozenset(["mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"])
"""Formats whose times never begin anew."""


class StoredFrame(Struct, frozen=True):
    """A stored frame of a recording: its ordinal, and its time in seconds since the first frame."""

    frame: int
    time: float


class WantedFrame(Struct, frozen=True):
    """A stored frame, and what proves that a picture is this frame.

    `before` is a stored frame before it, the nearest one. `candidates`, `file` and `size` (width, height) are
    what is stored of the scenario.
    """

    stored: StoredFrame
    before: StoredFrame | None = None
    candidates: CandidateFrames = "all"
    file: FileIdentity | None = None
    size: tuple[int, int] | None = None


class MissingFileError(Exception):
    """There is no such file, or no media root. The message says what to do."""


class TooSlowError(Exception):
    """The frame was not found in time."""


class OtherRecordingError(Exception):
    """The recording is another one than the scenario's, or numbers its frames in another way."""


def find_frame(
    source: Source, media_root: Path, networks: Networks, wanted: WantedFrame, seconds: float
) -> AvPicture:
    """Return the picture of a stored frame, within so many `seconds`.

    The frame is looked for at its stored time. That it is the frame is proved by the exact time, and by as
    many pictures between it and the stored frame before it as their ordinals differ by. If it cannot be
    proved, the recording is read from its beginning, as a run reads it.

    Raises:
        MissingFileError: there is no such file.
        VideoError: the recording cannot be opened or read, or the frame cannot be decoded.
        OtherRecordingError: another file is there now, or the frame is another one in it.
        TooSlowError: the time is over.
    """
    until = time.monotonic() + seconds
    path = _find_file(source, media_root) if source.kind == "file" else None
    stop = Event()
    timer = Timer(seconds, stop.set)
    timer.daemon = True
    timer.start()
    try:
        with open_container(
            source, media_root, networks, stop=stop, open_timeout=seconds, read_timeout=seconds
        ) as opened:
            _check_identity(wanted, opened.identity)
            picture = _seek(opened, path, wanted, until)
        if picture is None:
            with open_container(
                source, media_root, networks, stop=stop, open_timeout=seconds, read_timeout=seconds
            ) as opened:
                picture = _read_from_beginning(Recording(opened, source), wanted, until)
        if path is not None:
            _check_identity(wanted, identify(path))
    except SeekTimeoutError:
        raise TooSlowError from None
    except READ_ERRORS as error:
        raise read_error(error, source) from error
    except VideoError:
        if stop.is_set():
            raise TooSlowError from None
        raise
    finally:
        timer.cancel()
    if wanted.size is not None and (picture.width, picture.height) != wanted.size:
        raise _other_frame(wanted)
    return picture


def _find_file(source: Source, media_root: Path) -> Path:
    try:
        return find_file(source, media_root)
    except SourceError as error:
        raise MissingFileError(str(error)) from None


def _seek(opened: OpenContainer, path: Path | None, wanted: WantedFrame, until: float) -> AvPicture | None:
    """Return the frame's picture, or None if seeking cannot find or prove it."""
    if opened.is_live or not _has_lasting_times(opened, path, until):
        return None
    try:
        opened.stream.codec_context.open(strict=False)
    except (FFmpegError, ValueError):
        return None  # reading from the beginning says why
    before = wanted.before or StoredFrame(0, 0.0)
    seeker = FrameSeeker(opened, wanted.candidates, until)
    try:
        coded = seeker.find(before.time, wanted.stored.time, wanted.stored.frame - before.frame)
    except (FFmpegError, MemoryError):
        return None
    return None if coded is None or coded.frame is None else AvPicture(coded.frame)


def _has_lasting_times(opened: OpenContainer, path: Path | None, until: float) -> bool:
    """Return whether no time comes twice because times begin anew, as in joined recordings.

    Recordings of which it is not known are read from their beginning.
    """
    match opened.container.format.name:
        case "mpegts":
            if path is None or opened.identity is None:
                return False
            return has_one_clock(path, opened.identity, opened.stream.id, until)
        case "avi":
            codec = opened.stream.codec_context.codec.canonical_name
            return codec not in UNTIMED["avi"] and count_pictures(opened.stream) > 0
        case name:
            return name in _SEEKABLE


def _read_from_beginning(recording: Recording, wanted: WantedFrame, until: float) -> AvPicture:
    for entry in recording.frames(EveryFrame(), wanted.candidates, wanted.stored.frame, has_pictures=True):
        if time.monotonic() > until:
            raise TooSlowError
        if not isinstance(entry, SampledFrame):
            continue
        if (entry.frame, entry.time) != (wanted.stored.frame, wanted.stored.time):
            break
        if not isinstance(entry.picture, AvPicture):
            raise VideoError(f"{entry.error}", retryable=False)
        return entry.picture
    raise _other_frame(wanted)


def _other_frame(wanted: WantedFrame) -> OtherRecordingError:
    return OtherRecordingError(
        f"the recording has no frame {wanted.stored.frame} at {wanted.stored.time:.3f} s of the size that was"
        " stored: the file was changed, or an older version numbered its frames in another way; analyse it in"
        " a new scenario"
    )


def _check_identity(wanted: WantedFrame, found: FileIdentity | None) -> None:
    try:
        compare(Pins(wanted.file), Pins(found))
    except PinnedError as error:
        raise OtherRecordingError(str(error)) from None
