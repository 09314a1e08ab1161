"""A runner frozen at any moment, in the middle of storing too, holds nothing that its successor needs."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from uuid import UUID, uuid4, uuid5

from anyio import fail_after, sleep

from app.postgres import Database, open_database
from app.predictions.checkpoint import Fence
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from tests.support.batches import batch
from tests.support.paths import ROOT
from tests.support.waiting import until

FREEZES = 30
FAMILY = uuid4()


async def store_until_fenced(database: Database, scenario_id: UUID) -> None:
    """Store one batch after another, as fast as it goes."""
    fence = Fence(scenario_id, 1, uuid4())
    async with database.connection() as connection:
        await claims.claim(connection, fence)
        frame = 0
        while await store.write(connection, fence, batch(frame, frame + 20)):
            frame += 20


async def run_each_in_turn(dsn: str, family: UUID) -> None:
    """What the process that is frozen does."""
    async with open_database(dsn) as database:
        for number in count():
            await store_until_fenced(database, uuid5(family, str(number)))


@contextmanager
def process_that_stores(dsn: str) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-m", __name__, dsn, str(FAMILY)], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def stored(database: Database, scenario_id: UUID) -> list[int]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT frame FROM predictions WHERE scenario_id = $1 ORDER BY frame", scenario_id
        )
    return [row["frame"] for row in rows]


async def test_a_runner_frozen_at_any_moment_does_not_hold_up_its_successor(
    predictions_dsn: str, predictions: Database
) -> None:
    chance = random.Random(1)
    settled: dict[UUID, int] = {}
    with process_that_stores(predictions_dsn) as process:
        for number in range(FREEZES):
            scenario_id = uuid5(FAMILY, str(number))
            await until(lambda: stored(predictions, scenario_id))  # noqa: B023 - awaited here
            await sleep(chance.uniform(0, 0.01))
            os.kill(process.pid, signal.SIGSTOP)
            async with predictions.connection() as connection:
                with fail_after(60):
                    checkpoint = await claims.claim(connection, Fence(scenario_id, 2, uuid4()))
            os.kill(process.pid, signal.SIGCONT)
            settled[scenario_id] = checkpoint.next_frame
        await until(lambda: stored(predictions, uuid5(FAMILY, str(FREEZES))))
    for scenario_id, next_frame in settled.items():
        assert await stored(predictions, scenario_id) == list(range(next_frame))


if __name__ == "__main__":
    asyncio.run(run_each_in_turn(sys.argv[1], UUID(sys.argv[2])))
