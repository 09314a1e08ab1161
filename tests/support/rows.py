"""Rows as the orchestrator and the runner would write them."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from app.domain.detector_config import Marker
from app.domain.media import Media
from app.domain.sampling import FixedRate
from app.domain.spec import ScenarioSpec
from app.postgres import Database
from app.predictions.codec import FRAMES_PER_BLOCK

SPEC = ScenarioSpec("clip.mp4", Marker(), sampling=FixedRate(2.0), name="front door")
MEDIA = Media(width=1280, height=720, fps=30.0, frames=1800, duration_seconds=60.0)
RUNNING = ("in_startup_processing", "active", "init_shutdown", "in_shutdown_processing")
BEGIN = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


async def add_scenario(
    scenarios: Database,
    *,
    state: str = "active",
    spec: ScenarioSpec = SPEC,
    age: float = 0.0,
    scenario_id: UUID | None = None,
    **columns: Any,
) -> UUID:
    """Insert a scenario created `age` seconds before BEGIN, with the columns that constraints require."""
    scenario_id = scenario_id or uuid4()
    values: dict[str, Any] = {"attempt": 1, "created_at": BEGIN - timedelta(seconds=age)}
    if state in RUNNING:
        values |= {"runner_id": "local", "boot_id": uuid4(), "lease_renewed_at": BEGIN}
    if state == "inactive":
        values |= {"outcome": "completed"}
    await _insert(
        scenarios, "scenarios", {"id": scenario_id, "spec": spec, "state": state} | values | columns
    )
    return scenario_id


async def add_checkpoint(predictions: Database, scenario_id: UUID, **columns: Any) -> None:
    """Insert a run's checkpoint."""
    values = {"scenario_id": scenario_id, "attempt": 1, "run_token": uuid4(), "source_state": "open"}
    await _insert(predictions, "checkpoints", values | columns)


async def add_source_change(predictions: Database, scenario_id: UUID, number: int, **columns: Any) -> None:
    """Insert a change of a live source."""
    values = {"scenario_id": scenario_id, "number": number, "at": BEGIN, "attempt": 1}
    values |= {"state": "reconnecting", "reason": "because"}
    await _insert(predictions, "source_changes", values | columns)


async def add_found(predictions: Database, scenario_id: UUID, event_id: int, **columns: Any) -> None:
    """Insert an event of a video at 30 frames/s, by default an object's stay that begins at that second.

    The scenario must have a checkpoint if the event has not ended.
    """
    start = columns.pop("start_time", float(event_id))
    values = {
        "scenario_id": scenario_id,
        "event_id": event_id,
        "kind": "object",
        "state": "ended",
        "label": "person",
        "track_id": event_id,
        "name": "",
        "start_frame": round(30 * start),
        "start_time": start,
        "end_frame": round(30 * start) + 30,
        "end_time": start + 1,
        "best_frame": round(30 * start) + 3,
        "best_time": start + 0.1,
        "best_box": [10.1, 20.0, 30.0, 40.0],
        "best_confidence": 0.9,
    } | columns
    await _insert(predictions, "events", values)
    if values["state"] != "ended":
        async with predictions.connection() as connection:
            await connection.execute(
                "UPDATE checkpoints SET open_events = open_events || $2::bigint,"
                "       open_end_frames = open_end_frames || $3::bigint,"
                "       open_end_times = open_end_times || $4::double precision WHERE scenario_id = $1",
                scenario_id,
                event_id,
                values["end_frame"],
                values["end_time"],
            )


async def add_picture(
    predictions: Database,
    scenario_id: UUID,
    event_id: int,
    frame: int,
    picture: bytes = b"jpeg",
    box: Sequence[float] = (1.0, 2.0, 3.5, 4.0),
) -> None:
    """Insert the picture of an event of a live source, or replace it."""
    async with predictions.connection() as connection:
        await connection.execute(
            "DELETE FROM event_pictures WHERE scenario_id = $1 AND event_id = $2", scenario_id, event_id
        )
    values = {"scenario_id": scenario_id, "frame": frame, "time": frame / 30, "width": 1920, "height": 1080}
    await _insert(predictions, "evidence", values | {"bytes": len(picture), "picture": picture})
    shown = {"scenario_id": scenario_id, "event_id": event_id, "frame": frame, "score": 1.0, "box": box}
    await _insert(predictions, "event_pictures", shown)


async def add_prediction(
    predictions: Database, scenario_id: UUID, frame: int, *found: tuple[str, float], **columns: Any
) -> None:
    """Insert one frame of a video at 30 frames/s, with (label, confidence) for each detection."""
    values = {
        "scenario_id": scenario_id,
        "frame": frame,
        "time": frame / 30,
        "labels": "\n".join(label for label, _ in found),
        "confidences": packed(*(confidence for _, confidence in found)),
        "boxes": packed(*(side for n in range(len(found)) for side in (10.1 + n, 20.0, 30.0, 40.0))),
    }
    await _insert(predictions, "predictions", values | columns)
    for label, confidence in [each for one in found for each in (one, ("", one[1]))]:
        async with predictions.connection() as connection:
            await connection.execute(
                "INSERT INTO label_blocks AS known VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (scenario_id, label, block) DO UPDATE"
                " SET max_confidence = greatest(known.max_confidence, excluded.max_confidence)",
                scenario_id,
                label,
                frame // FRAMES_PER_BLOCK,
                confidence,
            )


def packed(*numbers: float) -> bytes:
    """Return numbers in the stored format: big-endian float32."""
    return struct.pack(f">{len(numbers)}f", *numbers)


def class_ids(*numbers: int) -> bytes:
    """Return class numbers in the stored format: big-endian, four bytes each."""
    return struct.pack(f">{len(numbers)}I", *numbers)


async def add_event(scenarios: Database, scenario_id: UUID, to_state: str = "active", **columns: Any) -> int:
    """Insert one line of history, commit and notify. Returns its id."""
    values = {"scenario_id": scenario_id, "to_state": to_state, "attempt": 1, "reason": "because"}
    return int(await _insert(scenarios, "scenario_events", values | columns, "id", notify=True))


async def _insert(
    database: Database, table: str, values: dict[str, Any], returning: str = "1", *, notify: bool = False
) -> Any:
    places = ", ".join(f"${n}" for n in range(1, len(values) + 1))
    sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) RETURNING {returning}"  # noqa: S608
    async with database.transaction() as connection:
        result = await connection.fetchval(sql, *values.values())
        if notify:
            await connection.execute("SELECT pg_notify('scenario_changed', '')")
    return result
