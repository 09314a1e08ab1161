"""How far a scenario is: its row, its media, and the checkpoint of what was stored."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal
from uuid import UUID

from asyncpg import Record
from msgspec import Meta, Struct

from ...domain.media import Media
from ...postgres import Database

SourceState = Literal["opening", "open", "frozen", "reconnecting", "closed"]


class Progress(Struct, frozen=True):
    """How far a scenario is. Counters cover the frames that are settled: stored, or passed by."""

    percent: Annotated[float | None, Meta(description="null where the length is unknown, as with a camera")]
    fps: Annotated[float | None, Meta(description="frames read each second; null unless it is active")]
    eta_seconds: float | None
    position_seconds: float
    frames_read: int
    frames_sampled: int
    frames_dropped: Annotated[
        int, Meta(description="live sources only: too old before there was time for it")
    ]
    frames_failed: int
    detections: int


class StoredProgress(Struct, frozen=True):
    """What was stored for a scenario. The defaults are what holds before the first run has claimed it."""

    scenario_id: UUID | None = None
    attempt: int = 0
    next_frame: int = 0
    frames_sampled: int = 0
    frames_dropped: int = 0
    frames_failed: int = 0
    detections: int = 0
    position_seconds: float = 0.0
    frames_per_second: float = 0.0
    source_state: SourceState = "opening"


_UNCLAIMED = StoredProgress()
_THESE = f"SELECT {', '.join(StoredProgress.__struct_fields__)} FROM checkpoints WHERE scenario_id = ANY($1)"  # noqa: S608


class Checkpoints:
    """The checkpoints of several scenarios, read at once."""

    def __init__(self, found: Iterable[StoredProgress]) -> None:
        self._found = {checkpoint.scenario_id: checkpoint for checkpoint in found}

    def __getitem__(self, scenario_id: UUID) -> StoredProgress:
        return self._found.get(scenario_id, _UNCLAIMED)


async def find_checkpoints(predictions: Database, scenario_ids: Sequence[UUID]) -> Checkpoints:
    """The checkpoints of these scenarios."""
    if not scenario_ids:
        return Checkpoints([])
    async with predictions.connection() as connection:
        return Checkpoints(StoredProgress(*row) for row in await connection.fetch(_THESE, scenario_ids))


async def find_checkpoint(predictions: Database, scenario_id: UUID) -> StoredProgress:
    """The checkpoint of one scenario, read for all who ask for one at the same time."""
    row = await predictions.find(_THESE, scenario_id)
    return _UNCLAIMED if row is None else StoredProgress(*row)


def progress_of(scenario: Record, media: Media | None, checkpoint: StoredProgress) -> Progress:
    """The progress of a scenarios row (state, outcome, attempt)."""
    fps = None
    if scenario["state"] == "active" and scenario["attempt"] == checkpoint.attempt:
        fps = round(checkpoint.frames_per_second, 1)
    return Progress(
        percent=_percent(scenario, media, checkpoint),
        fps=fps,
        eta_seconds=_eta(media, checkpoint, fps),
        position_seconds=round(checkpoint.position_seconds, 3),
        frames_read=checkpoint.next_frame,
        frames_sampled=checkpoint.frames_sampled,
        frames_dropped=checkpoint.frames_dropped,
        frames_failed=checkpoint.frames_failed,
        detections=checkpoint.detections,
    )


def source_state_of(scenario: Record, checkpoint: StoredProgress) -> SourceState | None:
    """What the runner that holds a scenarios row (attempt, runner_id) says of the source.

    An attempt that has claimed nothing yet is not where its predecessor was.
    """
    if scenario["runner_id"] is None or scenario["attempt"] != checkpoint.attempt:
        return None
    return checkpoint.source_state


def _percent(scenario: Record, media: Media | None, checkpoint: StoredProgress) -> float | None:
    if scenario["outcome"] == "completed":
        return 100.0
    if media is None or media.live:
        return None
    if media.frames:
        share = checkpoint.next_frame / media.frames
    elif media.duration_seconds:
        share = checkpoint.position_seconds / media.duration_seconds
    else:
        return None
    return round(min(share, 1.0) * 100, 2)


def _eta(media: Media | None, checkpoint: StoredProgress, fps: float | None) -> float | None:
    if media is None or media.live or not media.frames or not fps:
        return None
    return round(max(media.frames - checkpoint.next_frame, 0) / fps, 1)
