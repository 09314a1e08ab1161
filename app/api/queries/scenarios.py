"""Scenarios as users see them: the row, and the progress of what was stored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Meta, Struct, structs

from ...domain.analysis import Alert, Line, Notify, Presence, Tracking, Zone
from ...domain.detector_config import DetectorConfig
from ...domain.media import Media
from ...domain.reason import Reason, ScenarioWarning
from ...domain.sampling import Sampling
from ...domain.source import SourceError, parse_source
from ...domain.spec import RestartPolicy, ScenarioSpec
from ...domain.states import STATE_DESCRIPTIONS, Outcome, SourceState, State
from ...domain.stored_spec import decode_spec
from ...postgres import Database
from ...scenarios.json_columns import decode_media
from ...scenarios.successions import MAX_REPLACED
from .filters import ORDERS, ScenarioFilter, ScenarioPosition, condition_of, position_of
from .found_labels import find_ids_with
from .progress import (
    Inference,
    Progress,
    StoredProgress,
    find_stored_progress,
    inference_of,
    list_stored_progress,
    progress_of,
    source_state_of,
)
from .reasons import list_waiting_reasons, run_reason, space_reason, warnings_of

MAX_PAGE = 4_000_000
"""Bytes of specifications, errors and media after which a page ends."""


class Scenario(Struct, frozen=True):
    """One video source plus one detector, and how far it is.

    `source` never shows credentials. `error` says why it failed. `attempt` counts the
    starts; a later attempt resumes after the last stored frame.
    """

    id: UUID
    name: str
    tags: list[str]
    replaces: Annotated[
        UUID | None, Meta(description="the scenario that this one replaced and whose events it carries on")
    ]
    replaced_by: Annotated[UUID | None, Meta(description="the scenario that replaced this one")]
    batch: Annotated[UUID | None, Meta(description="the batch that made it of one of its files")]
    state: Annotated[
        State, Meta(description=" ".join(f"{state}: {text}" for state, text in STATE_DESCRIPTIONS.items()))
    ]
    outcome: Annotated[Outcome | None, Meta(description="set exactly if the state is inactive")]
    error: Annotated[str | None, Meta(description="set exactly if the outcome is failed")]
    reason: Annotated[Reason | None, Meta(description="why it does not go on at the moment")]
    warnings: Annotated[list[ScenarioWarning], Meta(description="what to know of its results")]
    source: str
    detector: DetectorConfig
    sampling: Annotated[
        Sampling | None, Meta(description="null: the frames that the scenario in `source` has stored")
    ]
    restart: RestartPolicy
    track: Annotated[int | None, Meta(description="the video track that the specification asks for")]
    aspect: Annotated[
        str | None, Meta(description="the display aspect that replaces what the source declares")
    ]
    recorded_at: Annotated[datetime | None, Meta(description="the date at which the recording begins")]
    tracking: Tracking | None
    presence: Presence | None
    zones: tuple[Zone, ...]
    lines: tuple[Line, ...]
    alerts: tuple[Alert, ...]
    notify: Notify | None
    attempt: int
    runner_id: str | None
    source_state: Annotated[
        SourceState | None,
        Meta(description="null unless it runs; frozen: a live source repeats exactly the same picture"),
    ]
    inference: Annotated[
        Inference | None,
        Meta(description="null until the source was opened, and for detectors without a model"),
    ]
    progress: Progress
    media: Annotated[Media | None, Meta(description="null until the source was opened")]
    created_at: datetime
    updated_at: datetime


class ScenarioPage(Struct, frozen=True):
    """Scenarios in the order that was asked for. `next_cursor` is null on the last page."""

    items: list[Scenario]
    next_cursor: str | None


_SPEC = "spec || coalesce(dated, '{}') AS spec, "
_COLUMNS = (
    f"id, {_SPEC}state, outcome, error, attempt, runner_id, media, created_at, updated_at, needs, failures,"
    " not_before > clock_timestamp() AS is_backing_off, spec->'sampling' AS sampling,"
    " spec->'tracking' AS tracking"
)
_SHOWN = _COLUMNS + (  # noqa: S608
    ", coalesce(name, spec->>'name', '') AS name, tags, replaces, batch_id, dated, sort_name,"
    " (SELECT id FROM scenarios AS n WHERE n.replaces = s.id AND n.deleted_at IS NULL) AS replaced_by"
)
_SELECT = f"SELECT {_SHOWN} FROM scenarios AS s WHERE id = ANY($1) AND deleted_at IS NULL"  # noqa: S608


async def find_scenario(
    scenarios: Database, predictions: Database, scenario_id: UUID, heartbeat_timeout: float
) -> Scenario | None:
    """Return the scenario, or None if there is none or it was deleted."""
    row = await find_row(scenarios, scenario_id)
    return None if row is None else await to_scenario(row, scenarios, predictions, heartbeat_timeout)


async def find_row(scenarios: Database, scenario_id: UUID) -> Record | None:
    """Return a scenario's row for `to_scenario`, or None if there is none or it was deleted."""
    return await scenarios.find(_SELECT, scenario_id)


async def to_scenario(
    row: Record, scenarios: Database, predictions: Database, heartbeat_timeout: float
) -> Scenario:
    """Return the scenario of a row. A runner without a heartbeat for `heartbeat_timeout` seconds is away."""
    stored = await find_stored_progress(predictions, row["id"])
    waiting = await list_waiting_reasons(scenarios, [row], heartbeat_timeout)
    return _scenario(row, stored, waiting)


def with_space_reason(scenario: Scenario, full_since: datetime | None) -> Scenario:
    """Return the scenario with the reason that the disk is full, if it is."""
    reason = space_reason(scenario.state, full_since)
    return scenario if reason is None else structs.replace(scenario, reason=reason)


async def list_of_batch(scenarios: Database, batch_id: UUID, after: UUID | None, limit: int) -> list[Record]:
    """Return rows of a batch's scenarios (id, spec, media, name), the oldest first, after that one."""
    sql = f"""
        SELECT id, {_SPEC}media, coalesce(name, spec->>'name', '') AS name FROM scenarios AS s
         WHERE batch_id = $1 AND deleted_at IS NULL
           AND ($2::uuid IS NULL
                OR (created_at, id) > (SELECT created_at, id FROM scenarios WHERE id = $2))
         ORDER BY created_at, id LIMIT $3
    """  # noqa: S608
    async with scenarios.connection() as connection:
        return await connection.fetch(sql, batch_id, after, limit)


async def exists(scenarios: Database, scenario_id: UUID) -> bool:
    """Return whether there is such a scenario that was not deleted."""
    sql = "SELECT EXISTS (SELECT FROM scenarios WHERE id = $1 AND deleted_at IS NULL)"
    async with scenarios.connection() as connection:
        return bool(await connection.fetchval(sql, scenario_id))


async def list_succession(scenarios: Database, scenario_id: UUID) -> list[UUID]:
    """Return a scenario and those that were replaced before it, newest first, without deleted ones.

    They are at most 100. The list is empty if the scenario does not exist or was deleted.
    """
    sql = """
        WITH RECURSIVE chain AS (
            SELECT id, replaces, deleted_at, 0 AS n FROM scenarios WHERE id = $1 AND deleted_at IS NULL
            UNION ALL
            SELECT s.id, s.replaces, s.deleted_at, n + 1
              FROM chain JOIN scenarios s ON s.id = chain.replaces WHERE n < $2
        )
        SELECT id FROM chain WHERE deleted_at IS NULL ORDER BY n
    """
    async with scenarios.connection() as connection:
        return [row["id"] for row in await connection.fetch(sql, scenario_id, MAX_REPLACED)]


async def is_completed(scenarios: Database, scenario_id: UUID) -> bool | None:
    """Return whether nothing more will be stored for a scenario, or None if there is none."""
    row = await find_row(scenarios, scenario_id)
    return None if row is None else row["outcome"] == "completed"


async def list_scenarios(
    scenarios: Database,
    predictions: Database,
    wanted: ScenarioFilter,
    after: ScenarioPosition | None,
    limit: int,
    heartbeat_timeout: float,
) -> tuple[list[Scenario], ScenarioPosition | None]:
    """Return up to `limit` scenarios in the wanted order, and the position of the next page, if there is one.

    A page ends early once what its scenarios store holds MAX_PAGE bytes, but has at least one scenario.
    """
    ids = None
    if wanted.found is not None:
        ids = await find_ids_with(scenarios, predictions, wanted.found, wanted, after, limit + 1)
    condition, values = condition_of(wanted, after, first_parameter=3, ids=ids)
    order = ORDERS[wanted.order]
    sql = f"""
        SELECT {_SHOWN}, next IS NOT NULL AS has_next
          FROM (SELECT *, lead(id) OVER in_order AS next,
                       sum(octet_length(spec::text) + octet_length(tags::text)
                           + coalesce(octet_length(error), 0)
                           + coalesce(octet_length(media::text), 0)) OVER (in_order
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
                  FROM (SELECT * FROM scenarios WHERE {condition}
                         ORDER BY {order} LIMIT $1 + 1) AS found
                WINDOW in_order AS (ORDER BY {order})) AS s
         WHERE before IS NULL OR before < $2
         ORDER BY {order} LIMIT $1
    """  # noqa: S608
    async with scenarios.connection() as connection:
        page = await connection.fetch(sql, limit, MAX_PAGE, *values)
    stored = await list_stored_progress(predictions, [row["id"] for row in page])
    waiting = await list_waiting_reasons(scenarios, page, heartbeat_timeout)
    more = position_of(page[-1], wanted.order) if page and page[-1]["has_next"] else None
    return [_scenario(row, stored[row["id"]], waiting) for row in page], more


async def find_unended(scenarios: Database, max_waiting: int) -> list[Record]:
    """Return what progress and reasons are computed from, without the specifications.

    It is for each scenario that a runner holds, and for the `max_waiting` that have waited longest for one.
    """
    columns = _COLUMNS.replace(_SPEC, "")
    sql = f"""
        SELECT {columns} FROM scenarios WHERE runner_id IS NOT NULL
        UNION ALL
        (SELECT {columns} FROM scenarios WHERE state = 'init_startup' AND deleted_at IS NULL
          ORDER BY updated_at LIMIT $1)
    """  # noqa: S608
    async with scenarios.connection() as connection:
        return await connection.fetch(sql, max_waiting)


async def count_by_state(scenarios: Database) -> dict[str, int]:
    """Return how many scenarios are in each state, without the states that none is in."""
    sql = "SELECT state, count(*) FROM scenarios WHERE deleted_at IS NULL GROUP BY state"
    async with scenarios.connection() as connection:
        return {row["state"]: row["count"] for row in await connection.fetch(sql)}


def _scenario(row: Record, stored: StoredProgress, waiting: Mapping[UUID, Reason]) -> Scenario:
    spec = _spec(row["spec"])
    media = decode_media(row["media"])
    return Scenario(
        id=row["id"],
        name=row["name"],
        tags=row["tags"],
        replaces=row["replaces"],
        replaced_by=row["replaced_by"],
        batch=row["batch_id"],
        state=row["state"],
        outcome=row["outcome"],
        error=row["error"] if row["outcome"] == "failed" else None,
        reason=waiting.get(row["id"]) or run_reason(row, stored),
        warnings=warnings_of(row, stored),
        source=_redacted(spec.source),
        detector=spec.detector,
        sampling=spec.sampling,
        restart=spec.restart,
        track=spec.track,
        aspect=spec.aspect,
        recorded_at=spec.recorded_at,
        tracking=spec.tracking,
        presence=spec.presence,
        zones=spec.zones,
        lines=spec.lines,
        alerts=spec.alerts,
        notify=spec.notify,
        attempt=row["attempt"],
        runner_id=row["runner_id"],
        source_state=source_state_of(row, stored),
        inference=inference_of(stored),
        progress=progress_of(row, media, stored),
        media=media,
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _spec(text: str) -> ScenarioSpec:
    try:
        return decode_spec(text)
    except msgspec.ValidationError:  # of a newer version: its parts are shown as they are
        parts = msgspec.json.decode(text)
        return ScenarioSpec(**{name: parts[name] for name in ScenarioSpec.__struct_fields__ if name in parts})


def _redacted(source: str) -> str:
    try:
        return parse_source(source).redacted
    except SourceError:  # an older version accepted it: this one does not know which part is secret
        return "(a source that this version does not accept)"
