"""What events cost when frames are stored: processor time, and what PostgreSQL writes ahead of it (WAL).

Five objects wander through 4 zones and over 2 lines, with 2 alerts and presence: about 13 events go on at a
time, and more than one begins in a second. The reference stores the same frames
without analysis. A recording has 100 frames in a batch, a camera one frame, twice a second.
"""

import gc
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple
from uuid import uuid4

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
        async with embedded_server(Path(folder), databases=["predictions"]) as server:
            dsn = server.dsn("predictions")
            await migrate(dsn, "app.predictions")
            async with open_planned_once(dsn) as database:
                async with database.connection():
                    processes = of_server(Path(folder))
                for case in cases():
                    rows += await compare(case, database, processes, rounds)
    return rows


async def compare(case: Case, database: Database, processes: list[Process], rounds: int) -> list[Row]:
    """Return the rows of one case."""
    ready = [list(batches(case.frames, case.size, case.pace, with_events=one)) for one in (True, False)]
    gc.freeze()  # a service does not hold all of these objects for the garbage collector to scan
    written: list[list[Written]] = [[], []]
    for number in range(2 * (rounds + 1)):
        one = await store(database, processes, ready[number % 2], case.scenarios)
        if number > 1:  # the first of each plans its statement
            written[number % 2].append(one)
    count = case.scenarios * len(case.frames)
    speeds = [count / median(one.seconds for one in each) for each in written]
    wal = [median(one.wal for one in each) / count for each in written]
    return [
        Row("13", f"stored with events: {case.name}", "frames/CPU s", speeds[0], speeds[1], at_least(0.9)),
        Row("13", f"WAL: {case.name}", "bytes/frame", wal[0], wal[1]),
    ]


if __name__ == "__main__":
    command(__doc__, measure)
