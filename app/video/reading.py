"""The contract of reading frames: what is asked for, what comes, and who gives and takes it."""

from typing import Protocol

from msgspec import Struct

from ..domain.media import Media
from ..domain.picture import Picture
from ..domain.pins import FileIdentity
from ..domain.reason import ScenarioWarning, SourceLoss
from ..domain.sampling import CandidateFrames, Sampling
from ..domain.source import Source
from ..domain.states import SourceState


class StartingPoint(Struct, frozen=True):
    """Where to begin.

    A live source goes on to count at `next_frame`. A recording is read from frame `replay_frame` on, which is
    sampled frame number `replay_sampled`. `candidates` were chosen when the recording was first read.
    `has_pictures`: a frame before `next_frame` could be decoded. `patience`: seconds that a live source may
    be silent, if an earlier run found out.
    `unix_offset` (seconds) is added to `time.monotonic()` for the times of a live source's frames.
    """

    next_frame: int = 0
    candidates: CandidateFrames | None = None
    replay_frame: int = 0
    replay_sampled: int = 0
    unix_offset: float = 0.0
    has_pictures: bool = False
    patience: float | None = None


class ReadRequest(Struct, frozen=True):
    """Which frames to read, and from where. It is the same for a thread and for a process.

    `media_root` is an absolute path, `networks` is what `Networks` is made from. If `is_persistent`, a live
    source that cannot be opened is tried again instead of being a fault.
    """

    source: Source
    media_root: str
    networks: str
    sampling: Sampling
    is_persistent: bool = False
    start: StartingPoint = StartingPoint()


class ReadFault(Struct, frozen=True):
    """Why reading failed. The message is for the user."""

    message: str
    is_retryable: bool


class ReadStatus(Struct, frozen=True, tag=True):
    """What is known of a source that is being read; each change replaces all of it.

    A live source's status is of the moment `at`. One that is reconnecting has a `loss`, since `lost_at`. Both
    are in seconds of `time.monotonic()`. `patience`: seconds that it may be silent once it is back.
    `media`, `candidates` and the recording's identity `file` are known once the first frame was decoded.
    `warnings` are those of this run so far, in the order found. `is_completed` (a recording was read to its
    end) and `fault` come with the last status.
    """

    state: SourceState = "opening"
    is_live: bool = False
    loss: SourceLoss | None = None
    lost_at: float = 0.0
    at: float = 0.0
    patience: float | None = None
    media: Media | None = None
    candidates: CandidateFrames | None = None
    file: FileIdentity | None = None
    warnings: tuple[ScenarioWarning, ...] = ()
    is_completed: bool = False
    fault: ReadFault | None = None


class SampledFrame(Struct, frozen=True, eq=False):
    """A frame to be analysed and stored, with its picture or the error for which it has none.

    `frame` is its ordinal, from 0, in the order shown. `time` never decreases: for a recording, seconds since
    its first frame; for a live source, Unix time of arrival. `sampled` is its number among the recording's
    sampled frames, and None for a live source.
    """

    frame: int
    time: float
    sampled: int | None = None
    picture: Picture | None = None
    error: str | None = None


class Watermark(Struct, frozen=True, tag=True):
    """Every frame before `end` came earlier or is not sampled. `time` is the position reached.

    `dropped` of these frames were sampled, but had no room.
    """

    end: int
    time: float
    dropped: int = 0


class FrameSink(Protocol):
    """Takes what a FrameReader reads. Its methods are called by one thread, `end` last and always."""

    @property
    def capacity(self) -> int:
        """The most pictures that the sink holds at the same time."""

    def note(self, status: ReadStatus) -> None:
        """Take the newest status. It comes before the frames that it is about."""

    def put(self, entry: SampledFrame | Watermark) -> bool:
        """Take the next entry, waiting for room if need be. Returns False if no more are wanted."""

    def end(self, status: ReadStatus) -> None:
        """Take the last status. Nothing comes after it."""


class FrameReader(Protocol):
    """Reads one source once, in a thread or a process of its own."""

    def start(self, sink: FrameSink) -> None:
        """Begin to read into `sink`, and return at once."""

    def stop(self) -> None:
        """Make reading end soon. Does not wait for it; any thread may call it, also before `start`."""
