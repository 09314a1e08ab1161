"""Batches as users see them: how far they are, and which files failed."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Meta, Struct

from ...domain.batch import BATCH_STATE_DESCRIPTIONS, BatchState, decode_batch
from ...domain.redaction import redact
from ...postgres import Connection, Database

MAX_LISTED = 20
"""Failures of a batch that are shown with it, and as many warnings."""

SCAN_PATIENCE = 60
"""Seconds after which a batch whose files nobody looked for says so."""

_NOBODY_LOOKS = (
    "No orchestrator has looked for its files for a minute. Perhaps none runs, or the leading one is of an"
    " older version, or its media folder does not answer."
)


class BatchCounts(Struct, frozen=True):
    """How many files of a batch are in each state. `files` is their sum."""

    files: int
    growing: Annotated[int, Meta(description="not the same for long enough yet")]
    waiting: Annotated[int, Meta(description="for its turn, or for a runner")]
    running: int
    completed: int
    stopped: int
    failed: Annotated[
        int, Meta(description="or removed before they were analysed, or with an impossible name")
    ]


class FileNote(Struct, frozen=True):
    """What to know of one file of a batch. `scenario_id` is null if it has no scenario."""

    path: str
    scenario_id: UUID | None
    text: str


class BatchInfo(Struct, frozen=True, kw_only=True):
    """A batch, and how far it is."""

    id: UUID
    name: str
    tags: list[str]
    sources: str
    scenario: Annotated[dict[str, Any], Meta(description="what is done with each file")]
    recorded_at: str | None
    timezone: str | None
    watch: bool
    at_once: int
    state: Annotated[
        BatchState,
        Meta(description=" ".join(f"{state}: {text}" for state, text in BATCH_STATE_DESCRIPTIONS.items())),
    ]
    problem: Annotated[str | None, Meta(description="why files may be missing, and what to do")]
    counts: BatchCounts
    percent: Annotated[
        float | None, Meta(description="of its files that are analysed; null: none was found yet")
    ]
    scanned_at: Annotated[datetime | None, Meta(description="when files were last looked for")]
    created_at: datetime
    updated_at: datetime


class BatchDetail(BatchInfo, frozen=True, kw_only=True):
    """A batch with the latest failures and warnings."""

    failures: Annotated[list[FileNote], Meta(description=f"at most {MAX_LISTED}, the latest first")]
    failed_scenarios: Annotated[str, Meta(description="the path of the list of all scenarios that failed")]
    warnings: Annotated[list[FileNote], Meta(description=f"at most {MAX_LISTED}, the latest first")]


class BatchPage(Struct, frozen=True):
    """Batches, newest first. `next_cursor` is null on the last page."""

    items: list[BatchInfo]
    next_cursor: str | None


class BatchNewsItem(Struct, frozen=True):
    """How far a batch is, in `batch` events of GET /stream."""

    batch_id: UUID
    state: BatchState
    problem: str | None
    counts: BatchCounts
    percent: float | None
    scanned_at: datetime | None
    deleted: bool

    @property
    def is_going(self) -> bool:
        """Whether there may be news without a command."""
        return not self.deleted and self.state in _GOING


_GOING = (BatchState.RUNNING, BatchState.STOPPING, BatchState.DELETING)
_MOST_NEWS = 100
"""Batches that an event stream tells of."""


class BatchFilter(Struct, frozen=True):
    """Which batches are listed: those that all of these fit which are not None."""

    state: BatchState | None = None
    name: str | None = None
    tag: str | None = None


class BatchPosition(Struct, frozen=True, array_like=True):
    """The last batch of a page."""

    created_at: Annotated[datetime, Meta(tz=True)]
    id: UUID


async def find_batch(scenarios: Database, batch_id: UUID, path_prefix: str = "") -> BatchDetail | None:
    """Return the batch, or None if there is none or it was deleted. `path_prefix`: of all paths."""
    async with scenarios.connection() as connection:
        row = await connection.fetchrow(f"{_SELECT} WHERE b.id = $1 AND deleted_at IS NULL", batch_id)
        if row is None:
            return None
        failures = await connection.fetch(_FAILURES, batch_id, MAX_LISTED)
        warnings = await connection.fetch(_WARNINGS, batch_id, MAX_LISTED)
    return BatchDetail(
        **_fields(row),
        failures=[_note(each) for each in failures],
        failed_scenarios=f"{path_prefix}/scenarios?batch={batch_id}&outcome=failed",
        warnings=[_note(each) for each in warnings],
    )


async def list_batches(
    scenarios: Database, wanted: BatchFilter, after: BatchPosition | None, limit: int
) -> tuple[list[BatchInfo], BatchPosition | None]:
    """Return up to `limit` batches, newest first, and the position of the next page, if there is one."""
    async with scenarios.connection() as connection:
        rows = await _page(connection, wanted, after, limit + 1)
    items = [BatchInfo(**_fields(row)) for row in rows[:limit]]
    more = BatchPosition(items[-1].created_at, items[-1].id) if len(rows) > limit else None
    return items, more


async def list_batch_news(scenarios: Database, others: list[UUID], seconds: float) -> list[BatchNewsItem]:
    """Return the newest 100 batches that go on or changed in the last `seconds`, and these others."""
    sql = f"""
        {_SELECT} JOIN (
            SELECT id FROM batches WHERE id = ANY($1)
            UNION
            (SELECT id FROM batches
              WHERE deleted_at IS NULL AND state = ANY($2) OR updated_at > now() - make_interval(secs => $4)
              ORDER BY created_at DESC, id DESC LIMIT $3)) AS wanted USING (id)
    """  # noqa: S608
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql, others, list(_GOING), _MOST_NEWS, seconds)
    return [
        BatchNewsItem(
            row["id"],
            row["state"],
            _problem_of(row),
            counts := _counts_of(row),
            _percent_of(row, counts),
            row["scanned_at"],
            row["is_deleted"],
        )
        for row in rows
    ]


async def list_scenarios_of(
    scenarios: Database, batch_id: UUID, after: BatchPosition | None, limit: int
) -> list[BatchPosition]:
    """Return up to `limit` scenarios of a batch from a position on, that one included, oldest first."""
    position = "" if after is None else "AND (created_at, id) >= ($3::timestamptz, $4::uuid)"
    values = () if after is None else (after.created_at, after.id)
    sql = f"""
        SELECT created_at, id FROM scenarios
         WHERE batch_id = $1 AND deleted_at IS NULL {position}
         ORDER BY created_at, id LIMIT $2
    """  # noqa: S608
    async with scenarios.connection() as connection:
        return [BatchPosition(*row) for row in await connection.fetch(sql, batch_id, limit, *values)]


async def batch_exists(scenarios: Database, batch_id: UUID) -> bool:
    """Return whether there is such a batch that was not deleted."""
    sql = "SELECT EXISTS (SELECT FROM batches WHERE id = $1 AND deleted_at IS NULL)"
    async with scenarios.connection() as connection:
        return bool(await connection.fetchval(sql, batch_id))


async def _page(
    connection: Connection, wanted: BatchFilter, after: BatchPosition | None, limit: int
) -> list[Record]:
    return await connection.fetch(
        f"""
        {_SELECT} JOIN (
            SELECT id FROM batches
             WHERE deleted_at IS NULL AND ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR name = $2)
               AND ($3::text IS NULL OR tags @> ARRAY[$3])
               AND ($4::timestamptz IS NULL OR (created_at, id) < ($4, $5::uuid))
             ORDER BY created_at DESC, id DESC LIMIT $6) AS page USING (id)
         ORDER BY created_at DESC, id DESC
        """,  # noqa: S608
        wanted.state,
        wanted.name,
        wanted.tag,
        None if after is None else after.created_at,
        None if after is None else after.id,
        limit,
    )


def _fields(row: Record) -> dict[str, Any]:
    spec = decode_batch(row["spec"])
    counts = _counts_of(row)
    return {
        "id": row["id"],
        "name": row["name"],
        "tags": row["tags"],
        "sources": spec.sources,
        "scenario": msgspec.json.decode(spec.scenario),
        "recorded_at": spec.recorded_at,
        "timezone": spec.timezone,
        "watch": row["watch"],
        "at_once": row["at_once"],
        "state": row["state"],
        "problem": _problem_of(row),
        "counts": counts,
        "percent": _percent_of(row, counts),
        "scanned_at": row["scanned_at"],
        "created_at": row["created_at"],
        "updated_at": row["updated_at"],
    }


def _counts_of(row: Record) -> BatchCounts:
    return BatchCounts(*(row[name] for name in BatchCounts.__struct_fields__))


def _problem_of(row: Record) -> str | None:
    return _NOBODY_LOOKS if row["is_overdue"] else row["problem"]


def _percent_of(row: Record, counts: BatchCounts) -> float | None:
    return round(100 * row["analysed"] / counts.files, 1) if counts.files else None


def _note(row: Record) -> FileNote:
    return FileNote(row["path"], row["scenario_id"], redact(row["text"]))


_SELECT = f"""
SELECT b.id, name, tags, spec, watch, at_once, state, problem, scanned_at, created_at, updated_at,
       pending + scenarios AS files, growing, ready + queued AS waiting, running, completed,
       made.stopped - again.stopped AS stopped, made.failed - again.failed + lost AS failed,
       completed + made.failed - again.failed + lost + partly AS analysed,
       state = 'running' AND (watch OR listed_at IS NULL)
       AND coalesce(scanned_at, created_at) < now() - interval '{SCAN_PATIENCE} seconds' AS is_overdue,
       b.deleted_at IS NOT NULL AS is_deleted
  FROM batches AS b
 CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE state = 'growing') AS growing,
           count(*) FILTER (WHERE state = 'ready') AS ready,
           count(*) FILTER (WHERE state IN ('gone', 'refused')) AS lost,
           count(*) FILTER (WHERE scenario_id IS NULL) AS pending
      FROM batch_files
     WHERE batch_id = b.id AND state IN ('growing', 'ready', 'gone', 'refused')) AS files
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(number), 0)::bigint AS scenarios,
           coalesce(sum(number) FILTER (WHERE state = 'init_startup'), 0)::bigint AS queued,
           coalesce(sum(number) FILTER (WHERE state NOT IN ('init_startup', 'inactive')), 0)::bigint
               AS running,
           coalesce(sum(number) FILTER (WHERE outcome = 'completed'), 0)::bigint AS completed,
           coalesce(sum(number) FILTER (WHERE outcome = 'stopped'), 0)::bigint AS stopped,
           coalesce(sum(number) FILTER (WHERE outcome = 'failed'), 0)::bigint AS failed
      FROM batch_counts WHERE batch_id = b.id) AS made
 CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE s.outcome = 'stopped') AS stopped,
           count(*) FILTER (WHERE s.outcome = 'failed') AS failed
      FROM batch_files AS f JOIN scenarios AS s ON s.id = f.scenario_id
     WHERE f.batch_id = b.id AND f.state = 'ready' AND s.deleted_at IS NULL) AS again
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(least(1, next_frame / (media->>'frames')::double precision)), 0) AS partly
      FROM scenarios
     WHERE batch_id = b.id AND deleted_at IS NULL AND (media->>'frames')::bigint > 0
       AND (state <> 'inactive' OR outcome = 'stopped')) AS part
"""  # noqa: S608

_FAILURES = """
SELECT path, scenario_id, text FROM (
    (SELECT spec->>'source' AS path, id AS scenario_id, error AS text, updated_at AS at FROM scenarios
      WHERE batch_id = $1 AND deleted_at IS NULL AND state = 'inactive' AND outcome = 'failed'
      ORDER BY created_at DESC, id DESC LIMIT $2)
    UNION ALL
    (SELECT path, NULL, coalesce(note, 'The file was removed before it was analysed.'), changed_at
       FROM batch_files WHERE batch_id = $1 AND state IN ('gone', 'refused') ORDER BY number DESC LIMIT $2)
) AS failures ORDER BY at DESC LIMIT $2
"""

_WARNINGS = """
SELECT path, scenario_id, note AS text FROM batch_files
 WHERE batch_id = $1 AND note IS NOT NULL AND state = 'taken' ORDER BY number DESC LIMIT $2
"""
