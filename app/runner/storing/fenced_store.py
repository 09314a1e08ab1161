"""What one run reads and writes in the predictions database, tried again while the database is away."""

import time
from collections.abc import Iterator, Sequence

import structlog
from anyio import sleep

from ...domain.reason import DetectorWait
from ...messages import RunEvent, RunFailed, RunStopped
from ...postgres import TRANSIENT, Database
from ...predictions.checkpoint import Batch, BatchWrite, Checkpoint, Fence, FencedError, NewSourceChange
from ...video.reading import ReadStatus
from .. import metrics
from ..cleanup.abandoned_events import settle_run
from . import checkpoints, claims
from .shared_statements import SharedStatements
from .waits import note_alive, note_detector_wait

log = structlog.get_logger(__name__)

MIN_BACKOFF, MAX_BACKOFF = 0.1, 5.0  # seconds


def backoffs() -> Iterator[float]:
    """Yield the seconds to wait before each next try."""
    backoff = MIN_BACKOFF
    while True:
        yield backoff
        backoff = min(2 * backoff, MAX_BACKOFF)


class FencedStore:
    """The rows of one scenario, while a run holds their fence."""

    def __init__(self, database: Database, fence: Fence, shared: SharedStatements | None = None) -> None:
        self._database = database
        self._fence = fence
        self._shared = shared
        self._claims_alone = shared is None

    async def try_claim(self) -> Checkpoint | None:
        """Take the fence. Returns None if the database is away.

        Raises:
            FencedError: a newer attempt has the fence, or the scenario was deleted.
        """
        if self._shared is not None and not self._claims_alone:
            self._claims_alone = True  # the next time: then it shows what is wrong with this claim
            if (claimed := await self._shared.claim(self._fence)) is not None:
                return claimed
        try:
            async with self._database.connection() as connection:
                return await claims.claim(connection, self._fence)
        except TRANSIENT as error:
            log.warning("cannot claim yet", error=repr(error))
            return None

    async def store(self, batch: Batch) -> None:
        """Store a batch exactly once, however often the database fails.

        Raises:
            FencedError: a newer attempt has the fence, or the scenario was deleted.
        """
        with metrics.STORE_SECONDS.time():
            for backoff in backoffs():
                if await self._try_to_store(batch):
                    break
                await sleep(backoff)
        metrics.count(batch)

    async def _try_to_store(self, batch: Batch) -> bool:
        write = BatchWrite(self._fence, batch)
        # The result is "stored" also if the acknowledgement of an earlier try was lost.
        result = None if self._shared is None else await self._shared.write(write)
        try:
            if result is None:
                async with self._database.connection() as connection:
                    (result,) = await checkpoints.write_batches(connection, [write])
        except TRANSIENT as error:
            log.warning("cannot store yet", error=repr(error), next_frame=batch.start)
            return False
        if result == "fenced_off":
            raise FencedError
        return result == "stored"

    async def try_to_note_wait(self, wait: DetectorWait | None, since: float | None) -> bool:
        """Store what the detector waits for, since `since` of `time.monotonic()`.

        Returns False if the database is away.
        """
        waited = 0.0 if since is None else time.monotonic() - since
        try:
            async with self._database.connection() as connection:
                await note_detector_wait(connection, self._fence, wait, waited)
        except TRANSIENT as error:
            log.warning("cannot store what the detector waits for yet", error=repr(error))
            return False
        return True

    async def try_to_note_alive(self) -> None:
        """Store that the run goes on although it stores no frames; nothing if the database is away."""
        try:
            async with self._database.connection() as connection:
                await note_alive(connection, self._fence)
        except TRANSIENT as error:
            log.warning("cannot store that the run goes on", error=repr(error))

    async def try_to_settle_events(self, end: RunEvent) -> None:
        """Settle the events that are still open if the run failed or was stopped, as its last event says.

        Nothing if the database is away: they are settled later.
        """
        if not isinstance(end, RunFailed | RunStopped):
            return
        try:
            async with self._database.connection() as connection:
                await settle_run(connection, self._fence, has_failed=isinstance(end, RunFailed))
        except TRANSIENT as error:
            log.warning("cannot settle open events yet", error=repr(error))

    async def try_to_note(self, status: ReadStatus, changes: Sequence[NewSourceChange] = ()) -> bool:
        """Store the source's state, why it was lost, and what its history keeps.

        Returns False if the database is away.
        """
        lost_for = time.monotonic() - status.lost_at
        try:
            async with self._database.connection() as connection:
                await checkpoints.note_source_state(
                    connection, self._fence, status.state, status.loss, lost_for, changes, status.patience
                )
        except TRANSIENT as error:
            log.warning("cannot store the source's state yet", error=repr(error), state=status.state)
            return False
        return True
