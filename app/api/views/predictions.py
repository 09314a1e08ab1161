"""Pages of predictions, by frame."""

from ctypes import c_float
from typing import Annotated
from uuid import UUID

from asyncpg import Record
from msgspec import UNSET, Meta, Struct, UnsetType

from app.postgres import Database

MAX_FRAME = 2**63 - 1
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


class Wanted(Struct, frozen=True, kw_only=True):
    """Which predictions: frames and times are from … up to but not including … ."""

    from_frame: int = 0
    to_frame: int = MAX_FRAME
    from_time: float | None = None
    to_time: float | None = None
    label: str | None = None
    min_confidence: float | None = None


async def list_predictions(
    predictions: Database, scenario_id: UUID, wanted: Wanted, limit: int
) -> tuple[list[Prediction], int | None]:
    """Up to `limit` predictions by frame, and the frame to go on from where there are more.

    With a label or a confidence, only matching detections are returned, and only frames that have one.
    """
    sql, arguments = _query(scenario_id, wanted, limit + 1)
    async with predictions.connection() as connection:
        rows = await connection.fetch(sql, *arguments)
    more = rows[limit]["frame"] if len(rows) > limit else None
    threshold = None if wanted.min_confidence is None else _single(wanted.min_confidence)
    return [_view(row, wanted.label, threshold) for row in rows[:limit]], more


def _query(scenario_id: UUID, wanted: Wanted, limit: int) -> tuple[str, list[object]]:
    arguments: list[object] = [scenario_id, wanted.from_frame, wanted.to_frame, limit]
    conditions = ["scenario_id = $1 AND frame >= $2 AND frame < $3"]

    def add(condition: str, value: object) -> None:
        arguments.append(value)
        conditions.append(condition.format(f"${len(arguments)}"))

    if wanted.from_time is not None:
        add("time >= {}", wanted.from_time)
    if wanted.to_time is not None:
        add("time < {}", wanted.to_time)
    if wanted.label is not None:
        add("{} = ANY(labels)", wanted.label)
    if wanted.min_confidence is not None:
        add("{}::real <= ANY(confidences)", wanted.min_confidence)
    if wanted.label is not None and wanted.min_confidence is not None:
        label, confidence = len(arguments) - 1, len(arguments)
        conditions.append(
            f"EXISTS (SELECT FROM unnest(labels, confidences) AS found (label, confidence)"
            f" WHERE label = ${label} AND confidence >= ${confidence})"
        )
    sql = (
        "SELECT frame, time, labels, confidences, boxes, track_ids, error FROM predictions"  # noqa: S608
        f" WHERE {' AND '.join(conditions)} ORDER BY frame LIMIT $4"
    )
    return sql, arguments


def _view(row: Record, label: str | None, threshold: float | None) -> Prediction:
    labels, confidences, track_ids = row["labels"], row["confidences"], row["track_ids"]
    # Stored in single precision: the digits past these are noise.
    boxes = [round(edge, 2) for edge in row["boxes"]]
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
