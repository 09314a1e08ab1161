"""Time of a page of predictions, and of a delete, among many stored detections.

Half of the detections are in one scenario of many frames, half in fifty others. The reference is the same
page without a filter; for writes during a delete, it is the writes before it. With `--detections 10000000` it
takes about two minutes; `--plans` prints the plan of each query.
"""

import argparse
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from random import Random
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import anyio
import asyncpg

from app.api.queries.predictions import PredictionFilter, list_predictions
from app.domain.prediction import Detection, Prediction
from app.messages import DropResults
from app.postgres import Connection, Database, migrate, open_database
from app.postgres.embedded.server import embedded_server
from app.predictions.checkpoint import Fence
from app.predictions.codec import encode
from app.runner.cleanup.purge import Purge
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from benchmarks.storage import as_rows, batches, predictions
from benchmarks.table import Row, command
from tests.support.waiting import until

DETECTIONS = 1_000_000
PER_FRAME = 4.5
OTHERS = 50
PART = 20_000  # frames
LIMIT = 100  # items per page, the default
RARE = "zebra"
CODES = 1000  # frames between two codes that are stored only once


async def fill(connection: Connection, scenario_id: UUID, frames: int) -> None:
    """Store the rows that a run would store, but faster."""
    some = predictions(PART, seed=scenario_id.int)
    chance = Random(scenario_id.int)
    for start in range(0, frames, PART):
        part = [_shifted(row, start, chance) for row in some[: frames - start]]
        await connection.copy_records_to_table("predictions", records=as_rows(part, scenario_id))
        best = encode(part).maxima
        await connection.execute(
            "INSERT INTO label_blocks AS known SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::real[])"
            " ON CONFLICT (scenario_id, label, block)"
            " DO UPDATE SET max_confidence = greatest(known.max_confidence, excluded.max_confidence)",
            scenario_id,
            best.labels,
            best.blocks,
            best.confidences,
        )


def _shifted(row: Prediction, start: int, chance: Random) -> Prediction:
    """Return the row as a later frame; high confidences and some labels are rare."""
    frame = start + row.frame
    found = tuple(
        Detection(each.label, each.confidence * 0.98, each.box, each.track_id, each.class_id)
        for each in row.detections
    )
    if frame % CODES == 0:
        found = (Detection(f"qr:{frame}", 1.0, found[0].box), *found[1:])
    if chance.random() < 1e-4:
        found = (Detection(RARE, 0.5, found[0].box), *found[1:])
    return Prediction(frame, frame / 30, found)


async def page_time(database: Database, scenario_id: UUID, wanted: PredictionFilter) -> float:
    """Return the milliseconds of a page."""
    began = time.perf_counter()
    await list_predictions(database, scenario_id, wanted, LIMIT)
    return (time.perf_counter() - began) * 1000


def questions(frames: int) -> dict[str, PredictionFilter]:
    """Return the request in words."""
    middle = frames // 2
    return {
        "a frame in the middle": PredictionFilter(from_frame=middle),
        "a time in the middle": PredictionFilter(from_time=middle / 30),
        "one second": PredictionFilter(from_time=middle / 30, to_time=middle / 30 + 1),
        "a frequent label": PredictionFilter(label="person"),
        "a frequent label from the middle on": PredictionFilter(label="person", from_frame=middle),
        "a rare label": PredictionFilter(label=RARE),
        "a label of one frame": PredictionFilter(label=f"qr:{middle // CODES * CODES}"),
        "a label that is nowhere": PredictionFilter(label="unicorn"),
        "confidence 0.5": PredictionFilter(min_confidence=0.5),
        "confidence 0.99, rare": PredictionFilter(min_confidence=0.99),
        "a label and confidence 0.97, rare": PredictionFilter(label="bus", min_confidence=0.97),
        "a label and a confidence that is nowhere": PredictionFilter(label="bus", min_confidence=0.99),
    }


async def write_times(database: Database, seconds: float, *, done: anyio.Event | None = None) -> list[float]:
    """Return the milliseconds of each batch of a live scenario, 20/s, until `seconds` or `done`."""
    fence = Fence(uuid4(), 1, uuid4())
    async with database.connection() as connection:
        await claims.claim(connection, fence)
    times = []
    began = time.perf_counter()
    for batch in batches(predictions(20_000), 10):
        if time.perf_counter() - began > seconds and (done is None or done.is_set()):
            break
        at = time.perf_counter()
        async with database.connection() as connection:
            assert await store.write(connection, fence, batch)
        times.append((time.perf_counter() - at) * 1000)
        await anyio.sleep(0.05)
    return times


async def delete(database: Database, scenario_id: UUID) -> tuple[float, list[float]]:
    """Return the seconds of a scenario's delete, and the milliseconds of another one's batches during it."""
    gone = anyio.Event()
    times: list[float] = []

    async def write() -> None:
        times.extend(await write_times(database, 0, done=gone))

    purge = Purge(database)
    async with anyio.create_task_group() as group:
        group.start_soon(write)
        began = time.perf_counter()
        await purge.handle(DropResults(scenario_id))
        group.start_soon(purge.run)
        await until(partial(_is_gone, database, scenario_id), timeout=600, poll=0.05)
        seconds = time.perf_counter() - began
        gone.set()
        await anyio.sleep(0.2)
        group.cancel_scope.cancel()
    return seconds, times


async def _is_gone(database: Database, scenario_id: UUID) -> bool:
    async with database.connection() as connection:
        return bool(
            await connection.fetchval("SELECT purged FROM checkpoints WHERE scenario_id = $1", scenario_id)
        )


async def explain(connection: "asyncpg.Connection[asyncpg.Record]", scenario_id: UUID, frames: int) -> None:
    """Print the plan of each query."""
    connection.add_log_listener(lambda _, message: print(message, "\n"))
    await connection.execute("LOAD 'auto_explain'")
    for name, value in {
        "min_duration": "0",
        "analyze": "on",
        "nested_statements": "on",
        "level": "notice",
    }.items():
        await connection.execute(f"SET auto_explain.log_{name} = '{value}'")
    connection.add_log_listener(lambda _, message: print(message, "\n"))
    middle = frames // 2
    for sql, arguments in [
        ("SELECT first_frame_at($1, $2)", (middle / 30,)),
        (
            "SELECT * FROM predictions WHERE scenario_id = $1 AND frame > $2 ORDER BY frame LIMIT 101",
            (middle,),
        ),
        ("SELECT * FROM predictions_with($1, $2, 0, 0, $3, 101)", (f"qr:{middle // CODES * CODES}", 2**62)),
        ("SELECT * FROM predictions_with($1, NULL, 0.99, 0, $2, 5)", (2**62,)),
    ]:
        await connection.fetch(sql, scenario_id, *arguments)


async def measure(rounds: int, detections: int = DETECTIONS, *, plans: bool = False) -> list[Row]:
    """Fill a database, run each query `rounds` times, and delete the largest scenario."""
    frames = int(detections / PER_FRAME / 2)
    large, others = uuid4(), [uuid4() for _ in range(OTHERS)]
    rows = []
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        server = await stack.enter_async_context(embedded_server(Path(folder), databases=["predictions"]))
        dsn = server.dsn("predictions")
        await migrate(dsn, "app.predictions")
        database = await stack.enter_async_context(open_database(dsn))
        async with database.connection() as connection:
            await fill(connection, large, frames)
            for each in others:
                await fill(connection, each, frames // OTHERS)
            await connection.execute("VACUUM ANALYZE", timeout=600)
            sizes = {
                name: await connection.fetchval("SELECT pg_total_relation_size($1::regclass)", name)
                for name in ("predictions", "predictions_pkey", "label_blocks")
            }
        if plans:
            own = await asyncpg.connect(dsn)
            await explain(own, large, frames)
            await own.close()
        plain = PredictionFilter()
        base = median([await page_time(database, large, plain) for _ in range(5 * rounds)])
        for name, wanted in questions(frames).items():
            times = [await page_time(database, large, wanted) for _ in range(5 * rounds)]
            rows.append(Row("", f"a page of {LIMIT}: {name}", "ms", median(times), base))
        before = await write_times(database, 3)
        seconds, during = await delete(database, large)
        rows.append(
            Row(
                "",
                f"deleting {frames:,} frames",
                "frames/s",
                frames / seconds,
                frames,
                note=f"{seconds:.1f} s",
            )
        )
        rows.append(Row("", "storing a batch during a delete, median", "ms", median(during), median(before)))
        p99 = quantiles(during, n=100)[98], quantiles(before, n=100)[98]
        rows.append(Row("", "storing a batch during a delete, p99", "ms", p99[0], p99[1]))
        notes = ", ".join(f"{name} {size / detections:.1f}" for name, size in sizes.items())
        rows.append(
            Row(
                "",
                "on disk: what finds labels, of all",
                "MB",
                sizes["label_blocks"] / 1e6,
                sizes["predictions"] / 1e6,
                note=f"bytes a detection: {notes}",
            )
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--detections", type=int, default=DETECTIONS)
    parser.add_argument("--plans", action="store_true")
    given, sys.argv[1:] = parser.parse_known_args()
    command(__doc__, partial(measure, detections=given.detections, plans=given.plans))
