"""A scenario as users see it: its row, and the checkpoint of what was stored for it."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Meta, Struct

from ...domain.detector_config import DetectorConfig, Marker
from ...domain.media import Media
from ...domain.source import SourceError, parse_source
from ...domain.spec import FixedRate, RestartPolicy, Sampling, ScenarioSpec
from ...postgres import Database
from .progress import (
    Progress,
    SourceState,
    StoredProgress,
    find_checkpoint,
    find_checkpoints,
    progress_of,
    source_state_of,
)

State = Literal[
    "init_startup", "in_startup_processing", "active", "init_shutdown", "in_shutdown_processing", "inactive"
]
Outcome = Literal["completed", "stopped", "failed"]


class Scenario(Struct, frozen=True):
    """One video source plus one detector, and how far it is.

    `source` never shows credentials. `error` is the last failure in plain words. `attempt` counts the
    beginnings; a later attempt resumes after the last stored frame.
    """

    id: UUID
    name: str
    state: State
    outcome: Annotated[Outcome | None, Meta(description="set exactly when the state is inactive")]
    error: str | None
    source: str
    detector: DetectorConfig
    sampling: Sampling
    restart: RestartPolicy
    attempt: int
    runner_id: str | None
    source_state: Annotated[
        SourceState | None,
        Meta(
            description="null unless it runs; frozen: a live source sends the very same picture all the time"
        ),
    ]
    progress: Progress
    media: Annotated[Media | None, Meta(description="null until the source was opened")]
    created_at: datetime
    updated_at: datetime


class ScenarioPage(Struct, frozen=True):
    """Scenarios, newest first. `next_cursor` is null on the last page."""

    items: list[Scenario]
    next_cursor: str | None


class ScenarioPosition(Struct, frozen=True, array_like=True):
    """Where a page ended."""

    created_at: Annotated[datetime, Meta(tz=True)]
    id: UUID


_COLUMNS = "id, spec, state, outcome, error, attempt, runner_id, media, created_at, updated_at"
_THESE = f"SELECT {_COLUMNS} FROM scenarios WHERE id = ANY($1) AND deleted_at IS NULL"  # noqa: S608
_spec = msgspec.json.Decoder(ScenarioSpec)
_media = msgspec.json.Decoder(Media)


async def find_scenario(scenarios: Database, predictions: Database, scenario_id: UUID) -> Scenario | None:
    """The scenario, or None where there is none or it was deleted."""
    row = await find_row(scenarios, scenario_id)
    return None if row is None else await show(row, predictions)


async def find_row(scenarios: Database, scenario_id: UUID) -> Record | None:
    """The row behind a scenario, for `show`; None where there is none or it was deleted."""
    return await scenarios.find(_THESE, scenario_id)


async def show(row: Record, predictions: Database) -> Scenario:
    """The scenario of a row."""
    return _view(row, await find_checkpoint(predictions, row["id"]))


async def exists(scenarios: Database, scenario_id: UUID) -> bool:
    """Whether there is such a scenario and it was not deleted."""
    sql = "SELECT EXISTS (SELECT FROM scenarios WHERE id = $1 AND deleted_at IS NULL)"
    async with scenarios.connection() as connection:
        return bool(await connection.fetchval(sql, scenario_id))


async def is_completed(scenarios: Database, scenario_id: UUID) -> bool | None:
    """Whether nothing more will be stored for a scenario; None where there is none or it was deleted."""
    row = await find_row(scenarios, scenario_id)
    return None if row is None else row["outcome"] == "completed"


async def list_scenarios(
    scenarios: Database,
    predictions: Database,
    state: State | None,
    after: ScenarioPosition | None,
    limit: int,
) -> tuple[list[Scenario], ScenarioPosition | None]:
    """Up to `limit` scenarios, newest first, and the position to go on from where there are more."""
    sql = f"""
        SELECT {_COLUMNS} FROM scenarios
        WHERE deleted_at IS NULL AND ($1::text IS NULL OR state = $1)
          AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3::uuid))
        ORDER BY created_at DESC, id DESC LIMIT $4
    """  # noqa: S608
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql, state, after and after.created_at, after and after.id, limit + 1)
    page = rows[:limit]
    checkpoints = await find_checkpoints(predictions, [row["id"] for row in page])
    more = ScenarioPosition(page[-1]["created_at"], page[-1]["id"]) if len(rows) > limit else None
    return [_view(row, checkpoints[row["id"]]) for row in page], more


async def find_running(scenarios: Database) -> list[Record]:
    """What progress is told from, for each scenario that a runner holds."""
    sql = "SELECT id, state, outcome, attempt, runner_id, media FROM scenarios WHERE runner_id IS NOT NULL"
    async with scenarios.connection() as connection:
        return await connection.fetch(sql)


async def count_by_state(scenarios: Database) -> dict[str, int]:
    """How many scenarios there are in each state that any is in."""
    sql = "SELECT state, count(*) FROM scenarios WHERE deleted_at IS NULL GROUP BY state"
    async with scenarios.connection() as connection:
        return {row["state"]: row["count"] for row in await connection.fetch(sql)}


def decode_media(text: str | None) -> Media | None:
    """The media column."""
    return None if text is None else _media.decode(text)


def _view(row: Record, checkpoint: StoredProgress) -> Scenario:
    spec = _spec.decode(row["spec"])
    media = decode_media(row["media"])
    return Scenario(
        id=row["id"],
        name=spec.name,
        state=row["state"],
        outcome=row["outcome"],
        error=row["error"],
        source=_redacted(spec.source),
        detector=spec.detector,
        sampling=spec.sampling,
        restart=spec.restart,
        attempt=row["attempt"],
        runner_id=row["runner_id"],
        source_state=source_state_of(row, checkpoint),
        progress=progress_of(row, media, checkpoint),
        media=media,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _redacted(source: str) -> str:
    try:
        return parse_source(source).redacted
    except SourceError:  # accepted by an older version: without its rules nobody knows where secrets stand
        return "(a source that this version does not accept)"


EXAMPLE = Scenario(
    id=UUID("0198f1c2-6f0e-7b64-9d8e-0f6f0a1c2b3d"),
    name="front door",
    state="active",
    outcome=None,
    error=None,
    source="clip.mp4",
    detector=Marker(),
    sampling=FixedRate(2.0),
    restart=RestartPolicy(),
    attempt=1,
    runner_id="local",
    source_state="open",
    progress=Progress(
        percent=41.5,
        fps=212.0,
        eta_seconds=5.0,
        position_seconds=24.9,
        frames_read=747,
        frames_sampled=50,
        frames_dropped=0,
        frames_failed=0,
        detections=50,
    ),
    media=Media(width=1280, height=720, fps=30.0, frames=1800, duration_seconds=60.0),
    created_at=datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
    updated_at=datetime(2026, 1, 31, 9, 30, 4, tzinfo=UTC),
)
