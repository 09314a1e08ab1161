"""Statements that the runs of a runner share: claims, and small batches, of the same moment."""

from collections.abc import Sequence

from ...concurrency.micro_batching import MicroBatcher, none_if_it_fails
from ...postgres import Database
from ...predictions.checkpoint import BatchWrite, Checkpoint, Fence, WriteResult
from . import checkpoints, claims

MAX_SHARED_FRAMES = 64
"""Sampled frames of a batch that may share a statement. A larger one saves nothing, and delays the others.

For runs of one frame, sharing saves 17 % of the CPU time of service and database (measured).
"""

LIVE_INTERVAL = 0.2
"""Seconds in which the batches of live sources are collected for one statement.

A hundred cameras at 2 frames/s need 5 commits a second instead of 200, and a frame is stored up to so much
later.
"""

_PATIENCE = 1.0  # seconds that a statement waits for the one before it, which may hang


class SharedStatements:
    """Collects what runs ask for while a statement runs, and does it with the next one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._claims = MicroBatcher(none_if_it_fails(self._claim))
        self._writes: MicroBatcher[BatchWrite, WriteResult] = MicroBatcher(
            none_if_it_fails(self._write), patience=_PATIENCE
        )
        self._live_writes: MicroBatcher[BatchWrite, WriteResult] = MicroBatcher(
            none_if_it_fails(self._write), patience=_PATIENCE, interval=LIVE_INTERVAL
        )

    async def claim(self, fence: Fence) -> Checkpoint | None:
        """Take a fence. Returns None if it could not be taken, or the statement failed: claim it alone."""
        return await self._claims.ask(fence)

    async def write(self, write: BatchWrite) -> WriteResult | None:
        """Store a batch. Returns None if it must be stored alone: it is large, or the statement failed."""
        if len(write.batch.predictions) > MAX_SHARED_FRAMES or write.batch.has_pictures:
            return None
        may_wait = write.batch.is_live and write.batch.source_state != "closed"
        return await (self._live_writes if may_wait else self._writes).ask(write)

    def hurry(self) -> None:
        """Store at once what is collected of live sources: one of their runs must end."""
        self._live_writes.hurry()

    async def _claim(self, fences: Sequence[Fence]) -> list[Checkpoint | None]:
        async with self._database.connection() as connection:
            return await claims.claim_all(connection, fences)

    async def _write(self, writes: Sequence[BatchWrite]) -> list[WriteResult | None]:
        # Two attempts of one scenario may be in one runner for a moment: the later one stores alone.
        of_scenario = {write.fence.scenario_id: number for number, write in reversed(list(enumerate(writes)))}
        chosen = sorted(of_scenario.values())
        async with self._database.connection() as connection:
            stored = await checkpoints.write_batches(connection, [writes[number] for number in chosen])
        results = dict(zip(chosen, stored, strict=True))
        return [results.get(number) for number in range(len(writes))]
