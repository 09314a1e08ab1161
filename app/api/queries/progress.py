"""How far a scenario is, computed from its row, its media and its checkpoint."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Meta, Struct

from ...domain.media import Media
from ...domain.pins import Pins
from ...domain.states import SourceState
from ...postgres import Database
from ...predictions.checkpoint import Footage

_pins = msgspec.json.Decoder(Pins)
_footage = msgspec.json.Decoder(Footage)


class Progress(Struct, frozen=True):
    """How far a scenario is. Counters cover the frames before its checkpoint, whether stored or skipped."""

    percent: Annotated[float | None, Meta(description="null if the length is unknown, as with a camera")]
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


class Inference(Struct, frozen=True):
    """What computes a scenario's detections.

    `model` is the SHA-256 of the model's files, or what an inference server tells of its model.
    """

    model: str
    backend: str
    precision: Annotated[str | None, Meta(description="fp32, bf16 or fp16; null if it was not stored")]


class StoredProgress(Struct, frozen=True):
    """The columns of a checkpoint that the API shows. Defaults apply until a run claims the scenario."""

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
    source_loss: str | None = None
    source_lost_at: datetime | None = None
    source_changes: int = 0
    detector_wait: str | None = None
    detector_waits_since: datetime | None = None
    pin_changes: str = "[]"
    warnings: str = "[]"
    pins: str | None = None
    footage: str | None = None

    @property
    def frames_read(self) -> int:
        """The frames before its checkpoint; of the footage of another scenario, those that were pinned."""
        if self.footage is None:
            return self.next_frame
        return self.next_frame - _footage.decode(self.footage).first


_UNCLAIMED = StoredProgress()
_COLUMNS = ", ".join(StoredProgress.__struct_fields__)
_SELECT = f"SELECT {_COLUMNS} FROM checkpoints WHERE scenario_id = ANY($1)"  # noqa: S608


async def find_stored_progress(predictions: Database, scenario_id: UUID) -> StoredProgress:
    """Return what is stored for one scenario; concurrent calls share a query."""
    row = await predictions.find(_SELECT, scenario_id)
    return _UNCLAIMED if row is None else StoredProgress(*row)


async def list_stored_progress(
    predictions: Database, scenario_ids: Sequence[UUID]
) -> dict[UUID, StoredProgress]:
    """Return what is stored for each of these scenarios."""
    stored = dict.fromkeys(scenario_ids, _UNCLAIMED)
    if stored:
        async with predictions.connection() as connection:
            for row in await connection.fetch(_SELECT, scenario_ids):
                stored[row["scenario_id"]] = StoredProgress(*row)
    return stored


def progress_of(scenario: Record, media: Media | None, stored: StoredProgress) -> Progress:
    """Return the progress of a row of scenarios (state, outcome, attempt)."""
    fps = None
    if scenario["state"] == "active" and scenario["attempt"] == stored.attempt:
        fps = round(stored.frames_per_second, 1)
    return Progress(
        percent=_percent(scenario, media, stored),
        fps=fps,
        eta_seconds=_eta(media, stored, fps),
        position_seconds=round(stored.position_seconds, 3),
        frames_read=stored.frames_read,
        frames_sampled=stored.frames_sampled,
        frames_dropped=stored.frames_dropped,
        frames_failed=stored.frames_failed,
        detections=stored.detections,
    )


def source_state_of(scenario: Record, stored: StoredProgress) -> SourceState | None:
    """Return the source's state for a row of scenarios (attempt, runner_id), or None if no run holds it.

    Until an attempt has claimed the scenario, the checkpoint still has its predecessor's state.
    """
    if scenario["runner_id"] is None or scenario["attempt"] != stored.attempt:
        return None
    return stored.source_state


def inference_of(stored: StoredProgress) -> Inference | None:
    """Return what computes the detections, or None until the source was opened, or without a model."""
    pins = None if stored.pins is None else _pins.decode(stored.pins)
    if pins is None or pins.model is None or pins.backend is None:
        return None
    return Inference(pins.model, pins.backend, pins.precision)


def _percent(scenario: Record, media: Media | None, stored: StoredProgress) -> float | None:
    if scenario["outcome"] == "completed":
        return 100.0
    if media is None or media.live:
        return None
    if media.frames:
        share = stored.frames_read / media.frames
    elif media.duration_seconds:
        share = stored.position_seconds / media.duration_seconds
    else:
        return None
    return round(min(share, 1.0) * 100, 2)


def _eta(media: Media | None, stored: StoredProgress, fps: float | None) -> float | None:
    if media is None or media.live or not media.frames or not fps:
        return None
    return round(max(media.frames - stored.frames_read, 0) / fps, 1)
