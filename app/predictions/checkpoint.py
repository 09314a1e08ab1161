"""What a run knows of its scenario in the predictions database, and what it writes there."""

from typing import Literal
from uuid import UUID

from msgspec import Struct

from ..domain.prediction import Prediction
from ..domain.spec import CandidateFrames
from ..domain.states import SourceState


class Fence(Struct, frozen=True):
    """Who writes: a run holds the fence from its claim until another claims with a higher attempt."""

    scenario_id: UUID
    attempt: int
    run_token: UUID


class Counters(Struct, frozen=True):
    """What became of the frames before next_frame. `dropped` is for live sources only."""

    sampled: int = 0
    dropped: int = 0
    failed: int = 0
    detections: int = 0


class Checkpoint(Struct, frozen=True):
    """How far a scenario is stored.

    A detector that needs a warm-up is fed again from `replay_frame`, the sampled frame number
    `replay_sampled`. `unix_offset` is the database's Unix time less this process's `time.monotonic()`, in
    seconds. `last_detector_error` is set if each sampled frame failed, and the detector in one of them.
    """

    next_frame: int
    finished: bool
    eligible: CandidateFrames | None
    replay_frame: int
    replay_sampled: int
    counters: Counters
    position_seconds: float
    unix_offset: float
    last_detector_error: str | None = None


class Batch(Struct, frozen=True):
    """Everything about the frames from `start` up to `end`; counters and replay are as of `end`."""

    start: int
    end: int
    predictions: list[Prediction]
    counters: Counters
    position_seconds: float
    frames_per_second: float
    eligible: CandidateFrames
    replay_frame: int
    replay_sampled: int
    source_state: SourceState
    finished: bool = False
    live: bool = False


class BatchWrite(Struct, frozen=True):
    """A batch, and the fence under which it may be stored."""

    fence: Fence
    batch: Batch


WriteResult = Literal["stored", "not_stored", "fenced_off"]
"""`stored`: by this write or by an earlier one. `not_stored`: may be tried again. `fenced_off`: another
attempt has the fence, its position is another one, or the scenario was deleted."""


class FencedError(Exception):
    """Another run holds the fence, or the scenario was deleted: nothing more of this run is stored."""
