"""How often each label was found in a scenario's video, over its time."""

from collections.abc import Iterable
from itertools import groupby
from typing import Annotated
from uuid import UUID

from anyio import to_thread
from asyncpg import Record
from msgspec import Meta, Struct

from ...postgres import Connection, Database
from ...predictions.codec import decode_labels
from ...predictions.timeline import BUCKET_SECONDS, BUCKETS_PER_PART, TimelineCounts, count_timeline
from .predictions import MAX_FRAME

MAX_BUCKETS = 2000
"""Buckets from the first to the last time of an answer."""

MAX_COUNTS = 50_000
"""Counts of one answer, over all labels: about 4 MB of JSON."""

MAX_FRAMES = 10_000
"""Stored frames that are read for buckets of less than BUCKET_SECONDS."""

_CHOICES = (1, 5, 15, 60, 300, 900, 3600, 6 * 3600, 86_400)
_FEW_BUCKETS = 500


class BucketCount(Struct, frozen=True):
    """What was found in one bucket."""

    time: Annotated[float, Meta(description="at which the bucket begins, in seconds")]
    frames: Annotated[int, Meta(description="frames with a detection; of `all`: every sampled frame")]
    detections: int
    best_confidence: float


class FrameCount(BucketCount, frozen=True):
    """What was found in one bucket, whatever its label."""

    failed: Annotated[int, Meta(description="frames of these that could not be analysed")]


class LabelTimeline(Struct, frozen=True):
    """The buckets in which a label was found, by time."""

    label: str
    buckets: list[BucketCount]


class Timeline(Struct, frozen=True):
    """Counts for each label and bucket. A bucket in which nothing was found is left out."""

    bucket_seconds: float
    from_time: Annotated[float | None, Meta(description="time of the first stored frame in the range")]
    to_time: Annotated[float | None, Meta(description="time of the last stored frame in the range")]
    is_complete: Annotated[
        bool, Meta(description="false while predictions that an earlier version stored are still counted")
    ]
    all: Annotated[list[FrameCount], Meta(description="all labels together, and frames without any")]
    labels: list[LabelTimeline]


class TimelineWish(Struct, frozen=True, kw_only=True):
    """What to count. Times are in seconds; ends are exclusive; `bucket`: None: chosen by the range."""

    bucket: float | None = None
    from_time: float | None = None
    to_time: float | None = None
    from_frame: int = 0
    to_frame: int = MAX_FRAME
    label: str | None = None


class TooMuchError(Exception):
    """The answer would be too large: its text says what to ask for instead."""


async def read_timeline(predictions: Database, scenario_id: UUID, wish: TimelineWish) -> Timeline:
    """Return the timeline of what is stored now.

    Raises TooMuchError if there are more than MAX_BUCKETS, MAX_COUNTS or MAX_FRAMES.
    """
    async with predictions.connection() as connection:
        row = await connection.fetchrow(
            _RANGE, scenario_id, wish.from_time, wish.to_time, wish.from_frame, wish.to_frame
        )
        first, last = (None, None) if row is None else (row["first"], row["last"])
        if row is None or first is None or last is None or last < first:
            return Timeline(wish.bucket or _CHOICES[0], None, None, True, [], [])
        width = wish.bucket or _choose(last - first)
        if (last - first) / width > MAX_BUCKETS:
            raise TooMuchError(
                f"{last - first:,.0f} seconds have more than {MAX_BUCKETS:,} buckets of {width:g} seconds:"
                f" send a larger `bucket`, such as {_choose(last - first)}, or a shorter range."
            )
        if width < BUCKET_SECONDS:
            counts = await _count_frames(connection, scenario_id, wish, row, width)
            is_complete = True
        else:
            counts = await _read_counts(connection, scenario_id, wish, row, width)
            is_complete = row["is_complete"]
    found = {label: list(group) for label, group in groupby(counts, key=lambda count: count[0])}
    everything = [FrameCount(*count[1:]) for count in found.pop("", [])]
    labels = [
        LabelTimeline(label, [BucketCount(*count[1:5]) for count in group]) for label, group in found.items()
    ]
    return Timeline(width, first, last, is_complete, everything, labels)


def _choose(seconds: float) -> int:
    return next((each for each in _CHOICES if seconds <= each * _FEW_BUCKETS), _CHOICES[-1])


_RANGE = """
    SELECT first.frame AS first_frame, first.time AS first, last.frame AS last_frame, last.time AS last,
           timeline_frame = next_frame AS is_complete,
           (SELECT coalesce(max(part) + 1, 0) FROM timeline_sums
             WHERE scenario_id = $1 AND label = '') AS summed
      FROM checkpoints
      LEFT JOIN LATERAL (
        SELECT frame, time FROM predictions
         WHERE scenario_id = $1
           AND frame >= greatest(purged_before, $4, first_frame_at($1, $2))
         ORDER BY frame LIMIT 1) AS first ON true
      LEFT JOIN LATERAL (
        SELECT frame, time FROM predictions
         WHERE scenario_id = $1 AND frame < least(next_frame, $5, first_frame_at($1, $3))
         ORDER BY frame DESC LIMIT 1) AS last ON true
     WHERE scenario_id = $1 AND NOT dropped
"""

_Count = tuple[str, float, int, int, float, int]


async def _read_counts(
    connection: Connection, scenario_id: UUID, wish: TimelineWish, found: Record, width: float
) -> list[_Count]:
    first, stop = int(found["first"] // BUCKET_SECONDS), int(found["last"] // BUCKET_SECONDS) + 1
    buckets = round(width / BUCKET_SECONDS)
    # Sums are read of the parts that lie within the range, and buckets before and after these.
    first_part = -(-first // BUCKETS_PER_PART)
    stop_part = min(stop // BUCKETS_PER_PART, found["summed"])
    if buckets % BUCKETS_PER_PART or first_part > stop_part:
        first_part = stop_part = stop // BUCKETS_PER_PART
    rows = await connection.fetch(
        _SUMS,
        scenario_id,
        wish.label,
        first,
        stop,
        first_part,
        stop_part,
        BUCKETS_PER_PART,
        buckets,
        MAX_COUNTS + 1,
    )
    _check_number(rows)
    return [
        (
            row["label"],
            row["n"] * width,
            row["frames"],
            row["detections"],
            round(row["confidence"], 4),
            row["failed"],
        )
        for row in rows
    ]


_SUMS = """
    SELECT label, bucket / $8 AS n, sum(frames)::bigint AS frames, sum(detections)::bigint AS detections,
           max(max_confidence) AS confidence, sum(failed)::bigint AS failed
      FROM (SELECT label, part * $7 AS bucket, frames, detections, max_confidence, failed
              FROM timeline_sums
             WHERE scenario_id = $1 AND part >= $5 AND part < $6
             UNION ALL
            SELECT label, bucket, frames, detections, max_confidence, failed
              FROM timeline_buckets
             WHERE scenario_id = $1 AND bucket >= $3 AND bucket < least($4, $5 * $7)
             UNION ALL
            SELECT label, bucket, frames, detections, max_confidence, failed
              FROM timeline_buckets
             WHERE scenario_id = $1 AND bucket >= greatest($3, $6 * $7) AND bucket < $4) AS counts
     WHERE $2::text IS NULL OR label IN ('', $2)
     GROUP BY label, n ORDER BY label, n LIMIT $9
"""


async def _count_frames(
    connection: Connection, scenario_id: UUID, wish: TimelineWish, found: Record, width: float
) -> list[_Count]:
    rows = await connection.fetch(
        "SELECT frame, time, labels, confidences, error FROM predictions"
        " WHERE scenario_id = $1 AND frame BETWEEN $2 AND $3 ORDER BY frame LIMIT $4",
        scenario_id,
        found["first_frame"],
        found["last_frame"],
        MAX_FRAMES + 1,
    )
    if len(rows) > MAX_FRAMES:
        raise TooMuchError(
            f"Buckets of less than {BUCKET_SECONDS} seconds are counted from stored frames, at most"
            f" {MAX_FRAMES:,}: send a shorter range, or `bucket` of {BUCKET_SECONDS} seconds or more."
        )
    counts = await to_thread.run_sync(_count, rows, width)
    chosen = sorted(
        (label, bucket * width, frames, detections, round(confidence, 4), failed)
        for label, bucket, frames, detections, confidence, failed in zip(
            counts.labels,
            counts.buckets,
            counts.frames,
            counts.detections,
            counts.confidences,
            counts.failed,
            strict=True,
        )
        if wish.label is None or label in ("", wish.label)
    )
    _check_number(chosen)
    return chosen


def _count(rows: Iterable[Record], width: float) -> TimelineCounts:
    return count_timeline([decode_labels(row) for row in rows], width)


def _check_number(counts: list[Record] | list[_Count]) -> None:
    if len(counts) > MAX_COUNTS:
        raise TooMuchError(
            f"The answer would have more than {MAX_COUNTS:,} counts: send `label`, a larger `bucket` or a"
            " shorter range."
        )
