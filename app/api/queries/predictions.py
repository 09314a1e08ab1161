"""Pages of predictions, in the order of their frames."""

from collections.abc import Sequence
from ctypes import c_float
from uuid import UUID

from asyncpg import Record
from msgspec import Struct, json

from ...domain.prediction import FrameSize, Prediction
from ...postgres import Connection, Database
from ...predictions.codec import decode
from ...predictions.columns import DetectionColumns, decode_columns

_sizes = json.Decoder(list[FrameSize])

MAX_FRAME = 2**63 - 1
MAX_PAGE = 4_000_000
"""Bytes of JSON, about, after which a page ends: near 50,000 detections, filtered ones included."""


class PredictionPage(Struct, frozen=True):
    """Predictions, by frame. `next_cursor` is null if nothing more is stored now."""

    items: list[Prediction]
    next_cursor: str | None


class PredictionsOfScenario(Struct, frozen=True):
    """Predictions of one scenario of a batch, by frame."""

    scenario_id: UUID
    predictions: list[Prediction]


class BatchPredictionPage(Struct, frozen=True):
    """Predictions by scenario, oldest scenario first. `next_cursor` is null if nothing more is stored now."""

    items: list[PredictionsOfScenario]
    next_cursor: str | None


class PredictionFilter(Struct, frozen=True, kw_only=True):
    """Which predictions to return. `to_frame` and `to_time` are exclusive; times are in seconds."""

    from_frame: int = 0
    to_frame: int = MAX_FRAME
    from_time: float | None = None
    to_time: float | None = None
    label: str | None = None
    min_confidence: float | None = None


class StoredRows(Struct, frozen=True):
    """Rows as they are stored, and what is needed to decode them. `next_frame` begins the next page."""

    rows: Sequence[Record]
    sizes: Sequence[FrameSize]
    next_frame: int | None

    def decode(self, wanted: PredictionFilter) -> list[Prediction]:
        """Return the predictions, with the detections that are wanted."""
        label, min_confidence = wanted.label, wanted.min_confidence or 0.0
        return [
            decode(row, label=label, min_confidence=min_confidence, sizes=self.sizes) for row in self.rows
        ]

    def columns(self, wanted: PredictionFilter) -> DetectionColumns:
        """Return the predictions as columns, with the detections that are wanted."""
        return decode_columns(
            self.rows, self.sizes, label=wanted.label, min_confidence=wanted.min_confidence or 0.0
        )


async def list_predictions(
    predictions: Database, scenario_id: UUID, wanted: PredictionFilter, limit: int
) -> tuple[list[Prediction], int | None]:
    """Return up to `limit` predictions, and the frame at which the next page begins, if there is one.

    A page ends early once it holds MAX_PAGE, but has at least one frame. With a label or a confidence, only
    matching detections are returned, and only frames that have one.
    """
    found = await read_rows(predictions, scenario_id, wanted, limit)
    return found.decode(wanted), found.next_frame


async def read_rows(
    predictions: Database, scenario_id: UUID, wanted: PredictionFilter, limit: int
) -> StoredRows:
    """Return up to `limit` rows, as `list_predictions` does. They have all detections of their frames."""
    min_confidence = wanted.min_confidence or 0.0
    async with predictions.connection() as connection:
        first, last = await _frame_range(connection, scenario_id, wanted)
        if wanted.label is None and wanted.min_confidence is None:
            rows = await connection.fetch(_ALL, limit, MAX_PAGE, scenario_id, first, last)
        else:
            rows = await connection.fetch(
                _MATCHING,
                limit,
                MAX_PAGE,
                scenario_id,
                first,
                last,
                wanted.label,
                c_float(min_confidence).value,  # as the column holds it, so that 0.9 finds 0.9
            )
        sizes = await connection.fetchval("SELECT sizes FROM checkpoints WHERE scenario_id = $1", scenario_id)
    return StoredRows(rows, _sizes.decode(sizes) if sizes else [], rows[-1]["next"] if rows else None)


async def find_end(predictions: Database, scenario_id: UUID) -> int:
    """Return the frame before which all is stored that ever will be."""
    sql = "SELECT next_frame FROM checkpoints WHERE scenario_id = $1 AND NOT dropped"
    async with predictions.connection() as connection:
        end: int | None = await connection.fetchval(sql, scenario_id)
    return end or 0


async def find_ends(
    predictions: Database, scenario_ids: list[UUID], wanted: PredictionFilter
) -> dict[UUID, int]:
    """Return `find_end` of those scenarios that have frames, with a label or confidence if one is wanted."""
    has_found = wanted.label is not None or wanted.min_confidence is not None
    found = """
        AND EXISTS (SELECT FROM label_blocks AS l
                     WHERE l.scenario_id = c.scenario_id AND label = $2 AND max_confidence >= $3)
    """
    sql = f"""
        SELECT scenario_id, next_frame FROM checkpoints AS c
         WHERE scenario_id = ANY($1) AND NOT dropped AND next_frame > 0 {found if has_found else ""}
    """  # noqa: S608
    values = (wanted.label or "", wanted.min_confidence or 0.0) if has_found else ()
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, scenario_ids, *values)
    return {row["scenario_id"]: row["next_frame"] for row in rows}


async def find_ends_with_events(predictions: Database, scenario_ids: list[UUID]) -> dict[UUID, int]:
    """Return `find_end` of those scenarios that ever had an event."""
    sql = """
        SELECT scenario_id, next_frame FROM checkpoints
         WHERE scenario_id = ANY($1) AND NOT dropped AND next_event_id > 1
    """
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, scenario_ids)
    return {row["scenario_id"]: row["next_frame"] for row in rows}


# A detection takes 4 bytes of confidences, and about 80 of JSON besides its label. PostgreSQL knows the
# length of a value that it stores apart (TOAST) without reading it.
_PAGE = """
    SELECT frame, time, labels, confidences, boxes, track_ids, error, next
      FROM (SELECT *, lead(frame) OVER by_frame AS next,
                   sum(20 * length(confidences) + octet_length(labels)
                       + coalesce(octet_length(error), 0)) OVER by_frame AS before
              FROM ({}) AS found
            WINDOW by_frame AS (ORDER BY frame ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS counted
     WHERE before IS NULL OR before < $2
     ORDER BY frame LIMIT $1
"""
_ALL = _PAGE.format(
    "SELECT * FROM predictions WHERE scenario_id = $3 AND frame BETWEEN $4 AND $5 ORDER BY frame LIMIT $1 + 1"
)
_MATCHING = _PAGE.format("SELECT * FROM predictions_with($3, $6, $7, $4, $5, $1 + 1)")


async def _frame_range(
    connection: Connection, scenario_id: UUID, wanted: PredictionFilter
) -> tuple[int, int]:
    """Return the first and the last of the wanted frames."""
    first, end = wanted.from_frame, wanted.to_frame
    if wanted.from_time is not None or wanted.to_time is not None:
        sql = "SELECT first_frame_at($1, $2), first_frame_at($1, $3)"
        [(after, before)] = await connection.fetch(sql, scenario_id, wanted.from_time, wanted.to_time)
        first = first if after is None else max(first, after)
        end = end if before is None else min(end, before)
    return first, end - 1
