"""The leader's work for batches: look for files, make scenarios of them, and end batches as one."""

import time
from collections.abc import Coroutine
from itertools import count
from pathlib import Path
from uuid import UUID

import structlog
from anyio import create_task_group, sleep, to_thread
from asyncpg import Record
from msgspec import Struct

from ...domain.batch import BatchState, decode_batch
from ...domain.source import SourceError
from ...media.path_patterns import PathPattern
from ...media.scanning import Scan, scan
from ...messages import results_commands
from ...postgres import TRANSIENT, Connection, Database
from ..signals import Signals
from ..transactions import attempt, repeat
from .endings import delete_scenarios, settle_ending, stop_scenarios
from .feeding import feed, settle_state
from .found_files import KnownFiles, bring_in


class ScanTiming(Struct, frozen=True):
    """In seconds: between two scans of a batch, and for how long a file must be the same to be taken.

    A scan that takes long is repeated less often: a tenth of the time is spent with it.
    """

    interval: float = 5.0
    settle: float = 5.0


_log = structlog.get_logger(__name__)
_FAULT_PAUSE = 60.0  # seconds
_POLL = 1.0  # seconds between two rounds that nothing asked for
_IDLE_POLL = 60.0  # the same while there is no batch, because the leader's survey tells of new ones
_MANY = 50  # scenarios after which statements that were planned for an empty table are planned again
_MIN_INTERVAL = 0.05  # seconds between two rounds, so that many ends of runs share one


class BatchKeeper:
    """Works while its process leads. What it knows besides the tables only saves statements."""

    def __init__(self, database: Database, media_root: Path, signals: Signals, timing: ScanTiming) -> None:
        self._database = database
        self._media_root = media_root
        self._signals = signals
        self._timing = timing
        self._known: dict[UUID, KnownFiles] = {}
        self._next_scan: dict[UUID, float] = {}
        self._faulty: dict[UUID, float] = {}  # until when a batch is left alone
        self._made = 0  # scenarios
        self._is_scanning = True  # until the first round, which finds out

    async def run(self) -> None:
        """Work until cancelled."""
        self._known.clear()  # another process has led since
        self._next_scan.clear()
        self._faulty.clear()
        async with create_task_group() as group:
            group.start_soon(self._look_for_files)
            group.start_soon(self._make_scenarios)

    async def _look_for_files(self) -> None:
        while True:
            await attempt(self._scan_all)
            pause = min(_POLL, self._timing.interval) if self._is_scanning else _IDLE_POLL
            await self._signals.scanner.wait(pause)
            await sleep(_MIN_INTERVAL)

    async def _make_scenarios(self) -> None:
        while True:
            await attempt(self._make_all)
            await self._signals.batches.wait(_POLL if self._signals.has_batches else _IDLE_POLL)
            await sleep(_MIN_INTERVAL)

    async def _scan_all(self) -> None:
        async with self._database.connection() as connection:
            batches = await list_to_scan(connection)
        self._is_scanning = bool(batches)
        ids = {batch["id"] for batch in batches}
        for known in self._known.keys() - ids:
            del self._known[known]
        for batch in batches:
            if self._next_scan.get(batch["id"], 0.0) <= time.monotonic():
                await self._guarded(batch["id"], self._scan(batch))

    async def _guarded(self, batch_id: UUID, work: Coroutine[None, None, None]) -> None:
        """Do some work for a batch. If that is impossible, the others and the process must not suffer."""
        if self._faulty.get(batch_id, 0.0) > time.monotonic():
            work.close()
            return
        try:
            await work
        except TRANSIENT:
            raise
        except Exception as error:
            _log.exception("a batch cannot be worked on", batch=batch_id)
            self._faulty[batch_id] = time.monotonic() + _FAULT_PAUSE
            async with self._database.connection() as connection:
                await connection.execute(
                    "UPDATE batches SET problem = $2, updated_at = now() WHERE id = $1",
                    batch_id,
                    f"An error stops it ({type(error).__name__}), which the orchestrator's log tells."
                    " It is tried again each minute.",
                )

    async def _scan(self, batch: Record) -> None:
        began = time.monotonic()
        sources = decode_batch(batch["spec"]).sources
        found = await to_thread.run_sync(_look, self._media_root, sources, abandon_on_cancel=True)
        known = self._known.get(batch["id"])
        if known is None or known.watch != batch["watch"]:
            known = self._known[batch["id"]] = KnownFiles(watch=batch["watch"])
        is_growing = await bring_in(self._database, batch["id"], found, known, self._timing.settle)
        took = time.monotonic() - began
        pause = min(self._timing.interval, self._timing.settle / 2) if is_growing else self._timing.interval
        self._next_scan[batch["id"]] = time.monotonic() + max(pause, 9 * took)
        self._signals.batches.set()

    async def _make_all(self) -> None:
        async with self._database.connection() as connection:
            batches = await list_going(connection)
        self._signals.has_batches = bool(batches)
        for batch in batches:
            match batch["state"]:
                case BatchState.RUNNING:
                    await self._guarded(batch["id"], self._feed(batch))
                case BatchState.STOPPING | BatchState.DELETING:
                    await self._guarded(batch["id"], self._end(batch["id"]))

    async def _feed(self, batch: Record) -> None:
        batch_id = batch["id"]
        room = batch["at_once"] - batch["unended"] if batch["has_ready"] else 0
        while room > 0:
            made = await feed(self._database, batch_id, room, self._media_root, self._known.get(batch_id))
            if not made:
                break
            room -= made
            await self._note_made(made)
            self._signals.leader.set()
            self._signals.announcer.set()
        if not batch["has_ready"] and not batch["unended"]:
            async with self._database.connection() as connection:
                await settle_state(connection, batch_id)

    async def _note_made(self, made: int) -> None:
        """Count scenarios that were made, and have statements planned again when they are ten times as many.

        What was planned for an empty table reads all scenarios by any index, until autovacuum comes after a
        minute: for 500 files, the server took 10.7 ms for each instead of 6.5 (measured).
        """
        before, self._made = self._made, self._made + made
        limit = next(limit for limit in (_MANY * 10**n for n in count()) if limit > before)
        if self._made >= limit:
            async with self._database.connection() as connection:
                await analyze_if_small(connection, self._made)

    async def _end(self, batch_id: UUID) -> None:
        async def stop(connection: Connection) -> bool:
            return await stop_scenarios(connection, batch_id)

        async def delete(connection: Connection) -> bool:
            return await delete_scenarios(connection, batch_id)

        await repeat(self._database, self._signals, stop)
        self._signals.leader.set()
        await repeat(self._database, self._signals, delete)
        self._signals.relays[results_commands].set()
        await settle_ending(self._database, batch_id)


async def analyze_if_small(connection: Connection, number: int) -> None:
    """Bring the statistics up to date if they know of fewer than so many scenarios."""
    known = await connection.fetchval("SELECT reltuples FROM pg_class WHERE oid = 'scenarios'::regclass")
    if known < number:
        await connection.execute("ANALYZE (SKIP_LOCKED) scenarios, batch_files")


async def list_to_scan(connection: Connection) -> list[Record]:
    """Return the batches that look for files, the one that was scanned longest ago first."""
    return await connection.fetch(
        """
        SELECT id, spec, watch FROM batches AS b
         WHERE state = 'running' AND deleted_at IS NULL
           AND (watch OR listed_at IS NULL
                OR EXISTS (SELECT FROM batch_files WHERE batch_id = b.id AND state = 'growing'))
         ORDER BY scanned_at NULLS FIRST, id
        """
    )


async def list_going(connection: Connection) -> list[Record]:
    """Return the batches for which there may be something to do."""
    return await connection.fetch(
        """
        SELECT id, state, at_once,
               EXISTS (SELECT FROM batch_files WHERE batch_id = b.id AND state = 'ready') AS has_ready,
               (SELECT count(*) FROM scenarios
                 WHERE batch_id = b.id AND deleted_at IS NULL AND state <> 'inactive') AS unended
          FROM batches AS b
         WHERE state IN ('running', 'stopping', 'deleting') AND deleted_at IS NULL ORDER BY id
        """
    )


def _look(media_root: Path, sources: str) -> Scan:
    try:
        return scan(media_root, PathPattern(sources))
    except SourceError as error:  # this version is older than the api's, and accepts less
        return Scan((), f"The pattern `sources` cannot be used: {error}.")
