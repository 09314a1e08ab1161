"""What events cost when frames are stored: processor time, and what PostgreSQL writes ahead of it (WAL).

Five objects wander through 4 zones and over 2 lines, with 2 alerts and presence: about 13 events go on at a
time, and more than one begins in a second. The reference stores the same frames
without analysis. A recording has 100 frames in a batch, a camera one frame, twice a second.

Two more steps show what any design pays that has a row for each event: the same rows in a table with nothing
but its primary key (no other index, no checks, no triggers), and no rows at all, with track ids, ids of open
events and the saved state alone.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

from msgspec.structs import replace
from psutil import Process

from app.analysis.analysis import Analysis
from app.domain.prediction import Prediction
from app.postgres import Database, migrate, open_planned_once
from app.postgres.embedded.server import embedded_server
from app.predictions.checkpoint import Batch, BatchWrite, Checkpoint, Counters, Fence, SavedAnalysis
from app.runner.analysing.step import SAVE_EVERY
from app.runner.frames.tasks import AnalysedFrame, FrameTask
from app.runner.storing import checkpoints, claims
from app.runner.storing.batches import BatchBuilder
from benchmarks.analysis import RULES, SIZE, footage
from benchmarks.processes import exact_cpu, of_server, own_cpu
from benchmarks.table import Row, at_least, command

RECORDING = 100  # frames in a batch at 400 frames/s
CAMERA_FPS = 2
CAMERAS = 10  # whose batches share a statement
BARE = """
DO $$
DECLARE command text;
BEGIN
    FOR command IN
        SELECT format('DROP TRIGGER %I ON events', tgname) FROM pg_trigger
         WHERE tgrelid = 'events'::regclass AND NOT tgisinternal
        UNION ALL
        SELECT format('ALTER TABLE events DROP CONSTRAINT %I', conname) FROM pg_constraint
         WHERE conrelid = 'events'::regclass AND contype = 'c'
        UNION ALL
        SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
         WHERE indrelid = 'events'::regclass AND NOT indisprimary
    LOOP
        EXECUTE command;
    END LOOP;
END $$
"""
BEGINNING = Checkpoint(0, False, None, 0, 0, Counters(), 0.0, 0.0)


class Written(NamedTuple):
    """CPU seconds of the client and the server together, and bytes of WAL."""

    seconds: float
    wal: int


class Case(NamedTuple):
    """Frames, how many a batch has and a run takes in a second, and scenarios that share a statement."""

    name: str
    frames: list[Prediction]
    size: int
    pace: float
    scenarios: int = 1


def batches(frames: Iterable[Prediction], size: int, pace: float, *, with_events: bool) -> Iterator[Batch]:
    """Yield the frames in batches of `size`, as a run stores them that takes `pace` frames a second."""
    analysis = Analysis(RULES) if with_events else None
    builder = BatchBuilder(BEGINNING, None)
    saved_at = 0.0
    coming = iter(frames)
    while part := list(islice(coming, size)):
        tasks = []
        for one in part:
            task = FrameTask(one.frame, one.time, None, None, detections=one.detections)
            if analysis is not None:
                step = analysis.step(one.frame, one.time, SIZE, one.detections)
                saved = None
                if (one.frame + 1) / pace - saved_at >= SAVE_EVERY:
                    saved, saved_at = SavedAnalysis(one.frame + 1, analysis.save()), (one.frame + 1) / pace
                task.detections = step.detections
                task.analysed = AnalysedFrame(step.events, analysis.carried, saved)
            tasks.append(task)
        batch = builder.build(tasks, source_state="open")
        assert batch is not None
        yield batch


async def store(database: Database, server: list[Process], ready: Sequence[Batch], scenarios: int) -> Written:
    """Store the batches as new scenarios, those of all in one statement."""
    fences = [Fence(uuid4(), 1, uuid4()) for _ in range(scenarios)]
    async with database.connection() as connection:
        for fence in fences:
            await claims.claim(connection, fence)
        before = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
        began = own_cpu() + exact_cpu(server)
        for batch in ready:
            results = await checkpoints.write_batches(connection, [BatchWrite(f, batch) for f in fences])
            assert set(results) == {"stored"}
        seconds = own_cpu() + exact_cpu(server) - began
        wal = await connection.fetchval(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)::bigint", before
        )
    return Written(seconds, wal)


def cases() -> list[Case]:
    """Return what is stored."""
    every, some = footage(5, 30), footage(5, CAMERA_FPS)[:1000]
    return [
        Case("a recording, every frame of 30 a second", every, RECORDING, 400.0),
        Case("a recording, 2 frames a second", some, RECORDING, 400.0),
        Case("a camera, 2 frames a second", some, 1, CAMERA_FPS),
        Case(f"{CAMERAS} cameras in one statement, 2 frames a second", some[:200], 1, CAMERA_FPS, CAMERAS),
    ]


async def measure(rounds: int) -> list[Row]:
    """Alternate between storing with events and without, `rounds` times."""
    rows = []
    with TemporaryDirectory() as folder:
        async with embedded_server(Path(folder), databases=["predictions", "bare"]) as server:
            for name in ("predictions", "bare"):
                await migrate(server.dsn(name), "app.predictions")
            async with (
                open_planned_once(server.dsn("predictions")) as database,
                open_planned_once(server.dsn("bare")) as bare,
            ):
                async with database.connection(), bare.connection() as connection:
                    await connection.execute(BARE)
                    processes = of_server(Path(folder))
                for case in cases():
                    rows += await compare(case, database, bare, processes, rounds)
    return rows


def without_rows(batch: Batch) -> Batch:
    """Return the batch with all that it changes in the analysis but its events."""
    return batch if batch.analysis is None else replace(batch, analysis=replace(batch.analysis, events=()))


async def compare(
    case: Case, database: Database, bare: Database, processes: list[Process], rounds: int
) -> list[Row]:
    """Return the rows of one case."""
    full, plain = [list(batches(case.frames, case.size, case.pace, with_events=one)) for one in (True, False)]
    steps = [(database, full), (database, plain), (bare, full), (database, list(map(without_rows, full)))]
    gc.freeze()  # a service does not hold all of these objects for the garbage collector to scan
    written: list[list[Written]] = [[] for _ in steps]
    for number in range(len(steps) * (rounds + 1)):
        step = number % len(steps)
        one = await store(steps[step][0], processes, steps[step][1], case.scenarios)
        if number >= len(steps):  # the first of each plans its statement
            written[step].append(one)
    count = case.scenarios * len(case.frames)
    speeds = [count / median(one.seconds for one in each) for each in written]
    wal = [median(one.wal for one in each) / count for each in written]
    unit = "frames/CPU s"
    return [
        Row("13", f"stored with events: {case.name}", unit, speeds[0], speeds[1], at_least(0.9)),
        Row("", "… in a bare table with its primary key alone", unit, speeds[2], speeds[1]),
        Row("", "… without rows of events", unit, speeds[3], speeds[1]),
        Row("13", f"WAL: {case.name}", "bytes/frame", wal[0], wal[1]),
        Row("", "… in a bare table with its primary key alone", "bytes/frame", wal[2], wal[1]),
        Row("", "… without rows of events", "bytes/frame", wal[3], wal[1]),
    ]


if __name__ == "__main__":
    command(__doc__, measure)
