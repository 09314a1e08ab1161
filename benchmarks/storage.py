"""Detections stored per second in the predictions database, and their bytes on disk.

The service stores fenced batches, exactly once. The reference is one binary COPY of the same predictions into
a table with the same columns, checks and index; the same code encodes its rows. COPY of rows that were
encoded before is measured too, although no program has such rows.

What the fence costs is shown by a chain: the inserts of the service's statement alone, the same behind the
fence, and the whole statement, which also keeps the highest confidences and the timeline.
"""

import gc
import struct
import time
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise, starmap
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

from app.domain.prediction import Detection, Prediction
from app.postgres import Connection, Database, migrate, open_planned_once
from app.postgres.embedded.server import embedded_server
from app.predictions.checkpoint import Batch, Counters, Fence
from app.predictions.codec import FRAME_END, encode
from app.runner.frames.pipeline import MAX_TAKEN
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from benchmarks.table import Row, alternate, at_least, at_most, command

FRAMES = 40 * MAX_TAKEN
USUAL = 100  # frames per batch at 400 frames/s
LABELS = ("person", "car", "truck", "bus", "bicycle", "dog", "backpack", "traffic light")
SHARES = (40, 30, 8, 4, 6, 4, 4, 4)
BYTES = 60.0


def predictions(frames: int, seed: int = 0) -> list[Prediction]:
    """Return every frame of a video at 30 frames/s, with 4 or 5 objects in each."""
    chance = Random(seed)
    return [
        Prediction(
            frame,
            frame / 30,
            tuple(
                Detection(label, chance.randrange(1024) / 1024, (x, y, x + 80.125, y + 160.5))
                for label in chance.choices(LABELS, SHARES, k=chance.choice((4, 5)))
                for x, y in [(chance.randrange(9600) / 8, chance.randrange(4480) / 8)]
            ),
        )
        for frame in range(frames)
    ]


def batches(rows: Sequence[Prediction], size: int) -> list[Batch]:
    """Return the rows in batches of `size` frames, as a run stores them."""
    borders = [*range(0, len(rows), size), len(rows)]
    made, detections = [], 0
    for start, end in pairwise(borders):
        detections += sum(len(row.detections) for row in rows[start:end])
        counters = Counters(sampled=end, detections=detections)
        state = Batch(
            start, end, list(rows[start:end]), counters, end / 30, 400.0, "all", end, end, source_state="open"
        )
        made.append(state)
    return made


async def write(database: Database, rows: Sequence[Prediction], size: int = MAX_TAKEN) -> float:
    """Return the seconds to store the rows as a new scenario."""
    fence = Fence(uuid4(), 1, uuid4())
    ready = batches(rows, size)
    async with database.connection() as connection:
        await claims.claim(connection, fence)
    began = time.perf_counter()
    for batch in ready:
        async with database.connection() as connection:
            assert await store.write(connection, fence, batch)
    return time.perf_counter() - began


_ROWS = """
    ROWS FROM (
        unnest($2::bigint[], $3::double precision[], $4::integer[], $4[2:], $7::text[], $8::text[]),
        string_to_table($9, $10)
    ) AS p (frame, time, start, stop, track_ids, error, labels) WHERE frame IS NOT NULL
"""
_INSERT = """
    INSERT INTO copied (scenario_id, frame, time, labels, confidences, boxes, track_ids, error)
    SELECT {owner}, frame, time, labels, substr($5::bytea, 4 * start + 1, 4 * (stop - start)),
           substr($6::bytea, $11::integer * start + 1, $11 * (stop - start)), track_ids::bigint[], error
      FROM {source}
"""
INSERT = _INSERT.format(owner="$1::uuid", source=_ROWS)
MOVE = """
    WITH moved AS (
        UPDATE checkpoints SET next_frame = $15, updated_at = now()
         WHERE scenario_id = $1 AND attempt = $12 AND run_token = $13 AND next_frame = $14
           AND NOT dropped AND NOT finished
        RETURNING scenario_id
    )
"""
INSERT_FENCED = MOVE + _INSERT.format(owner="scenario_id", source=f"moved, {_ROWS}")


async def insert(database: Database, rows: Sequence[Prediction], *, is_fenced: bool) -> float:
    """Return the seconds to encode and insert the predictions, as the service does, and nothing else."""
    fence = Fence(uuid4(), 1, uuid4())
    async with database.connection() as connection:
        await claims.claim(connection, fence)
        began = time.perf_counter()
        for start in range(0, len(rows), MAX_TAKEN):
            part = rows[start : start + MAX_TAKEN]
            one = encode(part)
            values = (
                fence.scenario_id, one.frames, one.times, one.offsets, one.confidences, one.boxes,
                one.track_ids, one.errors, one.labels, FRAME_END, one.box_size,
            )  # fmt: skip
            if is_fenced:
                position = start, start + len(part)
                await connection.execute(INSERT_FENCED, *values, fence.attempt, fence.run_token, *position)
            else:
                await connection.execute(INSERT, *values)
        return time.perf_counter() - began


async def copy(connection: Connection, rows: Sequence[Prediction]) -> float:
    """Return the seconds to encode and copy the predictions."""
    began = time.perf_counter()
    parts = (rows[start : start + MAX_TAKEN] for start in range(0, len(rows), MAX_TAKEN))
    scenario_id = uuid4()
    records = chain.from_iterable(as_rows(part, scenario_id) for part in parts)
    await connection.copy_records_to_table("copied", records=records)
    return time.perf_counter() - began


async def copy_ready(connection: Connection, ready: list[tuple[object, ...]]) -> float:
    """Return the seconds to copy encoded rows."""
    began = time.perf_counter()
    await connection.copy_records_to_table("copied", records=ready)
    return time.perf_counter() - began


def as_rows(part: Sequence[Prediction], scenario_id: UUID) -> list[tuple[object, ...]]:
    """Return encoded rows of the table."""
    found = [detection for prediction in part for detection in prediction.detections]
    labels = [detection.label for detection in found]
    confidences = struct.pack(f">{len(found)}f", *[detection.confidence for detection in found])
    boxes = b"".join(starmap(struct.Struct(">4f").pack, [detection.box for detection in found]))
    borders = pairwise(accumulate((len(prediction.detections) for prediction in part), initial=0))
    join = "\n".join
    return [
        (
            scenario_id,
            prediction.frame,
            prediction.time,
            join(labels[start:end]),
            confidences[4 * start : 4 * end],
            boxes[16 * start : 16 * end],
            None,
            prediction.error,
        )
        for prediction, (start, end) in zip(part, borders, strict=True)
    ]


async def on_disk(connection: Connection) -> float:
    """Return the stored bytes per detection, including indexes."""
    await connection.execute("VACUUM predictions, label_blocks, timeline_buckets")
    size: int = await connection.fetchval(
        "SELECT pg_total_relation_size('predictions') + pg_total_relation_size('label_blocks')"
        " + pg_total_relation_size('timeline_buckets')"
    )
    stored: int = await connection.fetchval("SELECT sum(length(confidences) / 4) FROM predictions")
    return size / stored


async def measure(rounds: int) -> list[Row]:
    """Alternate between the references and the service, `rounds` times."""
    rows = predictions(FRAMES)
    detections = sum(len(row.detections) for row in rows)
    gc.freeze()  # a service does not hold all of these objects for the garbage collector to scan
    with TemporaryDirectory() as name:
        async with embedded_server(Path(name), databases=["predictions"]) as server:
            dsn = server.dsn("predictions")
            await migrate(dsn, "app.predictions")
            async with open_planned_once(dsn) as database, database.connection() as connection:
                await connection.execute("CREATE TABLE copied (LIKE predictions INCLUDING ALL)")
                seconds = await alternate(
                    rounds,
                    lambda: copy(connection, rows),
                    lambda: copy_ready(connection, as_rows(rows, uuid4())),
                    lambda: write(database, rows),
                    lambda: write(database, rows, USUAL),
                    lambda: insert(database, rows, is_fenced=False),
                    lambda: insert(database, rows, is_fenced=True),
                )
                size = await on_disk(connection)
    copied, copied_ready, full, usual, bare, fenced = (detections / each for each in seconds)
    return [
        Row(
            "5",
            f"stored, {MAX_TAKEN} frames a batch (the most)",
            "detections/s",
            full,
            copied,
            at_least(0.8),
        ),
        Row("", "… its inserts alone, without a fence", "detections/s", bare, copied),
        Row("", "… the same behind the fence", "detections/s", fenced, copied),
        Row("", "the same, against COPY of encoded rows", "detections/s", full, copied_ready),
        Row("", f"stored, {USUAL} frames a batch, each flushed to disk", "detections/s", usual, copied),
        Row("5", "on disk, with every index", "bytes/detection", size, BYTES, at_most(1)),
    ]


if __name__ == "__main__":
    command(__doc__, measure, rounds=5)
