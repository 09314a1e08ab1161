"""What a run knows of its scenario in the predictions database, and what it writes there."""

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
    """Where a scenario stands. Detectors with a memory are fed again from `replay_frame`, which is sampled
    frame number `replay_sampled`. `unix_offset` is by how much the database's Unix time is ahead of this
    process's `time.monotonic()`, in seconds. `hopeless` is the last error of a detector, where all of the
    sampled frames failed."""

    next_frame: int
    finished: bool
    eligible: CandidateFrames | None
    replay_frame: int
    replay_sampled: int
    counters: Counters
    position_seconds: float
    unix_offset: float
    hopeless: str | None = None


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


class FencedError(Exception):
    """Another run holds the fence, or the scenario was deleted: nothing more of this run is stored."""
