"""The checkpoint of a scenario in the predictions database, and the batches that move it."""

from typing import Literal
from uuid import UUID

from msgspec import Struct

from ..domain.event import Carried, Event
from ..domain.media import Media
from ..domain.pins import PinChange, Pins
from ..domain.prediction import FrameSize, Prediction
from ..domain.reason import ScenarioWarning
from ..domain.sampling import CandidateFrames
from ..domain.states import SourceState
from .delivery import NewDelivery
from .evidence import NewPicture


class Fence(Struct, frozen=True):
    """Identifies the run that may write: from its claim until a run with a higher attempt claims."""

    scenario_id: UUID
    attempt: int
    run_token: UUID


class Counters(Struct, frozen=True):
    """Counts over the frames before `next_frame`. Only live sources have dropped frames."""

    sampled: int = 0
    dropped: int = 0
    failed: int = 0
    detections: int = 0


class SavedAnalysis(Struct, frozen=True):
    """The state of analysis after the frames before `frame`, encoded; if it is empty, the beginning."""

    frame: int = 0
    state: bytes = b""


class OpenEvent(Struct, frozen=True, gc=False):
    """An event that has not ended: its id, and the last frame in which it was seen, with its time."""

    event_id: int
    end_frame: int
    end_time: float


class Footage(Struct, frozen=True):
    """What another scenario had stored when its footage was first asked: the frames `first` to before `end`.

    `until` is the time of the last of them. `has_tracks`: track ids are stored with its detections.
    `is_live`: its times are Unix time.
    """

    scenario_id: UUID
    first: int
    end: int
    until: float
    has_tracks: bool = False
    is_live: bool = False


class Checkpoint(Struct, frozen=True):
    """How far a scenario is stored.

    A detector that needs a warm-up is fed again from `replay_frame`, the sampled frame number
    `replay_sampled`. `unix_offset` is the database's Unix time less this process's `time.monotonic()`, in
    seconds. `last_detector_error` is set if each sampled frame failed, and the detector in one of them.
    `is_live`: an earlier attempt found that the source has no end; `was_lost`: it ended while the source was
    lost. `source_changes` is the number of the latest change in the source's history. `source_patience`:
    seconds that the source may be silent, as an earlier loss taught. `carried` is that of the frames before
    `next_frame`, `analysis` may be that of fewer. `footage`: what it asks instead of a source, once that is
    pinned.
    """

    next_frame: int
    is_finished: bool
    candidates: CandidateFrames | None
    replay_frame: int
    replay_sampled: int
    counters: Counters
    position_seconds: float
    unix_offset: float
    last_detector_error: str | None = None
    is_live: bool = False
    pins: Pins | None = None
    warnings: tuple[ScenarioWarning, ...] = ()
    sizes: tuple[FrameSize, ...] = ()
    source_changes: int = 0
    was_lost: bool = False
    source_patience: float | None = None
    analysis: SavedAnalysis = SavedAnalysis()
    carried: Carried = Carried()
    open_events: tuple[OpenEvent, ...] = ()
    footage: Footage | None = None


class NewSourceChange(Struct, frozen=True):
    """A change of a live source, for its history.

    `number` counts the changes of the scenario from 1. `at` is in seconds of `time.monotonic()`. `media` is
    there if the pictures are others from then on.
    """

    number: int
    at: float
    state: SourceState
    reason: str
    media: Media | None = None


class AnalysisUpdate(Struct, frozen=True):
    """What a batch changes in the analysis.

    `events`: one for each that is new or has ended, and, if a state is saved, for each that was seen better;
    when it was seen last is in `open_events`. These and `carried` are those after the batch. `saved`: None:
    as before. `pictures`: of some of the events that are new or were seen, at most one of each.
    """

    carried: Carried
    events: tuple[Event, ...] = ()
    open_events: tuple[OpenEvent, ...] = ()
    saved: SavedAnalysis | None = None
    deliveries: tuple[NewDelivery, ...] = ()
    pictures: tuple[NewPicture, ...] = ()


class Batch(Struct, frozen=True):
    """The frames from `start` to before `end`. The counters and where to replay from are those at `end`."""

    start: int
    end: int
    predictions: list[Prediction]
    counters: Counters
    position_seconds: float
    frames_per_second: float
    candidates: CandidateFrames
    replay_frame: int
    replay_sampled: int
    source_state: SourceState
    is_finished: bool = False
    is_live: bool = False
    pins: Pins | None = None  # None: as before
    pin_changes: tuple[PinChange, ...] = ()
    warnings: tuple[ScenarioWarning, ...] | None = None  # all of the scenario's; None: as before
    new_sizes: tuple[FrameSize, ...] = ()
    analysis: AnalysisUpdate | None = None  # None: as before

    @property
    def has_events(self) -> bool:
        """Whether events are stored with it."""
        return self.analysis is not None and bool(self.analysis.events)

    @property
    def has_deliveries(self) -> bool:
        """Whether deliveries of events are stored with it."""
        return self.analysis is not None and bool(self.analysis.deliveries)

    @property
    def has_pictures(self) -> bool:
        """Whether pictures of events are stored with it."""
        return self.analysis is not None and bool(self.analysis.pictures)


class BatchWrite(Struct, frozen=True):
    """A batch, and the fence under which it may be stored."""

    fence: Fence
    batch: Batch


WriteResult = Literal["stored", "not_stored", "fenced_off"]
"""What became of a batch.

- `stored`: by this write, or by an earlier one whose acknowledgement was lost
- `not_stored`: it can be written again
- `fenced_off`: another run has claimed or written, or the scenario was deleted
"""


class FencedError(Exception):
    """Another run has the fence, or the scenario was deleted: nothing more of this run is stored."""
