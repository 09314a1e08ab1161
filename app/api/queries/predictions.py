"""Pages of predictions, by frame."""

import struct
from ctypes import c_float
from typing import Annotated
from uuid import UUID

from asyncpg import Record
from msgspec import UNSET, Meta, Struct, UnsetType

from ...postgres import Connection, Database

MAX_FRAME = 2**63 - 1
PAGE = 4_000_000
"""Bytes of JSON, about, after which a page ends: some 50,000 detections, those filtered out included."""

Box = Annotated[
    tuple[float, float, float, float], Meta(description="x1, y1, x2, y2 in pixels of the source frame")
]


class Detection(Struct, frozen=True, gc=False):
    """One thing found in a frame."""

    label: str
    confidence: float
    box: Box
    track_id: int | None


class Prediction(Struct, frozen=True, gc=False):
    """One sampled frame. `frame` is its ordinal in the recording, from 0; `time` is in seconds."""

    frame: int
    time: float
    detections: list[Detection]
    error: Annotated[str | UnsetType, Meta(description="only where the frame could not be analysed")] = UNSET


class PredictionPage(Struct, frozen=True):
    """Predictions by frame. `next_cursor` is null where nothing more is stored now."""

    items: list[Prediction]
    next_cursor: str | None


class PredictionFilter(Struct, frozen=True, kw_only=True):
    """Which predictions: frames and times are from … up to but not including … ."""

    from_frame: int = 0
    to_frame: int = MAX_FRAME
    from_time: float | None = None
    to_time: float | None = None
    label: str | None = None
    min_confidence: float | None = None


async def list_predictions(
    predictions: Database, scenario_id: UUID, wanted: PredictionFilter, limit: int
) -> tuple[list[Prediction], int | None]:
    """Up to `limit` predictions by frame, or fewer of many detections, and the frame to go on from.

    A page ends once it holds PAGE, but has a frame at least. None: there is nothing to go on from.
    With a label or a confidence, only matching detections are returned, and only frames that have one.
    """
    threshold = None if wanted.min_confidence is None else _single(wanted.min_confidence)
    async with predictions.connection() as connection:
        first, last = await _frames(connection, scenario_id, wanted)
        if wanted.label is None and threshold is None:
            rows = await connection.fetch(_ALL, limit, PAGE, scenario_id, first, last)
        else:
            surely = threshold or 0.0
            rows = await connection.fetch(_WITH, limit, PAGE, scenario_id, first, last, wanted.label, surely)
    more = rows[-1]["next"] if rows else None
    return [_view(row, wanted.label, threshold) for row in rows], more


# A detection takes 4 bytes of confidences, and about 80 of JSON besides its label. The lengths of values that
# are stored apart are known without reading these.
_PAGE = """
    SELECT frame, time, labels, confidences, boxes, track_ids, error, next
      FROM (SELECT *, lead(frame) OVER by_frame AS next,
                   sum(20 * length(confidences) + octet_length(labels)) OVER by_frame AS before
              FROM ({}) AS found
            WINDOW by_frame AS (ORDER BY frame ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS counted
     WHERE before IS NULL OR before < $2
     ORDER BY frame LIMIT $1
"""
_ALL = _PAGE.format(
    "SELECT * FROM predictions WHERE scenario_id = $3 AND frame BETWEEN $4 AND $5 ORDER BY frame LIMIT $1 + 1"
)
_WITH = _PAGE.format("SELECT * FROM predictions_with($3, $6, $7, $4, $5, $1 + 1)")


async def _frames(connection: Connection, scenario_id: UUID, wanted: PredictionFilter) -> tuple[int, int]:
    """The first and the last of the frames that are asked for."""
    first, end = wanted.from_frame, wanted.to_frame
    if wanted.from_time is not None or wanted.to_time is not None:
        sql = "SELECT first_frame_at($1, $2), first_frame_at($1, $3)"
        [(after, before)] = await connection.fetch(sql, scenario_id, wanted.from_time, wanted.to_time)
        first = first if after is None else max(first, after)
        end = end if before is None else min(end, before)
    return first, end - 1


def _view(row: Record, label: str | None, threshold: float | None) -> Prediction:
    confidences, track_ids = unpack(row["confidences"]), row["track_ids"]
    labels = row["labels"].split("\n") if confidences else ()
    # Stored in single precision: the digits past these are noise.
    boxes = [round(edge, 2) for edge in unpack(row["boxes"])]
    detections = [
        Detection(
            found,
            round(confidences[n], 4),
            (boxes[4 * n], boxes[4 * n + 1], boxes[4 * n + 2], boxes[4 * n + 3]),
            track_ids[n] if track_ids else None,
        )
        for n, found in enumerate(labels)
        if (label is None or found == label) and (threshold is None or confidences[n] >= threshold)
    ]
    return Prediction(row["frame"], row["time"], detections, row["error"] or UNSET)


def unpack(numbers: bytes) -> tuple[float, ...]:
    """Numbers as they are stored: in single precision, the most significant byte first."""
    return struct.unpack(f">{len(numbers) // 4}f", numbers)


def _single(value: float) -> float:
    """The value as the column holds it, so that 0.9 is found by 0.9."""
    return c_float(value).value


EXAMPLE = PredictionPage(
    items=[
        Prediction(12, 0.4, [Detection("aruco:12", 1.0, (100.0, 80.0, 164.0, 144.0), None)]),
        Prediction(13, 0.433, []),
        Prediction(14, 0.467, [], "The frame could not be decoded."),
    ],
    next_cursor=None,
)
