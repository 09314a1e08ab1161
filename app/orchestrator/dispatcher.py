"""The dispatcher assigns waiting scenarios to free slots, and passes stops on to runners."""

import heapq
from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from asyncpg import Record
from msgspec import Struct

from ..domain.features import FEATURES, FEATURES_OF_0_1_0
from ..messages import Instance
from ..postgres import Connection, Database
from . import store
from .decisions import apply, apply_each
from .lifecycle import AssignRun, ScenarioRecord, TellRunner
from .signals import Signals
from .transactions import repeat

_BATCH = 50  # scenarios assigned in one transaction, at most


class Dispatcher:
    """Sends runners their commands. Scenarios that have waited longest come first, and those of batches last.

    A batch takes no slot that another scenario waits for, or will want again after a backoff.
    """

    def __init__(self, database: Database, grace: float, signals: Signals) -> None:
        """`grace`: seconds without a heartbeat after which an instance gets no more runs."""
        self._database = database
        self._grace = grace
        self._signals = signals

    async def run_once(self) -> None:
        """Do all that there is to do now."""
        async with self._database.connection() as connection:
            work = await find_work(connection)
        if work.has_stops:
            await self.pass_stops_on()
        if work.has_waiting:
            await self.dispatch()

    async def pass_stops_on(self) -> None:
        """Tell each runner of the stops that users asked for."""
        await repeat(self._database, self._signals, self._pass_stop_on)

    async def dispatch(self) -> None:
        """Assign waiting scenarios as long as slots are free."""
        await repeat(self._database, self._signals, self._dispatch_batch)

    async def _pass_stop_on(self, connection: Connection) -> bool:
        scenario_id = await next_stop(connection)
        if scenario_id is not None:
            await apply(connection, scenario_id, TellRunner())
        return scenario_id is not None

    async def _dispatch_batch(self, connection: Connection) -> bool:
        runners = await find_free_runners(connection, self._grace)
        has_batches = runners.batches_wait
        limit = _BATCH + (await count_expected(connection, FEATURES, ()) if has_batches else 0)
        free = runners.free_slots(limit)
        # The first lock gives a transaction its place in the order in which event streams tell changes. So
        # the scenarios are locked first, and this one comes after the transactions that made them wait.
        waiting: dict[frozenset[str], list[ScenarioRecord]] = {}
        chosen: list[FreeSlot] = []
        locked: list[UUID] = []
        for features, slots in _by_features(free).items():  # of one kind, unless versions are mixed
            most = min(len(slots), _BATCH - len(locked))
            waiting[features] = await store.lock_waiting(connection, most, features, locked)
            chosen += slots[: len(waiting[features])]
            locked += [scenario.id for scenario in waiting[features]]
        if has_batches:
            for features, slots in _by_features(free).items():
                used = len(waiting[features])
                spared = len(slots) - used - await count_expected(connection, features, locked)
                room = min(spared, _BATCH - len(locked))
                of_batches = await store.lock_waiting(
                    connection, max(0, room), features, locked, of_batches=True
                )
                waiting[features] += of_batches
                chosen += slots[used : used + len(of_batches)]
                locked += [scenario.id for scenario in of_batches]
        still_free = _by_features(await lock_slots(connection, chosen))
        for features, slots in still_free.items():
            assignments = [AssignRun(slot.instance) for slot in slots]
            await apply_each(connection, zip(waiting[features], assignments, strict=False))
        return len(locked) == _BATCH


class FreeSlot(Struct, frozen=True):
    """A slot of a runner instance, and the features that scenarios in it may need."""

    instance: Instance
    features: frozenset[str]


def _by_features(slots: Sequence[FreeSlot]) -> dict[frozenset[str], list[FreeSlot]]:
    groups: dict[frozenset[str], list[FreeSlot]] = {}
    for slot in slots:
        groups.setdefault(slot.features, []).append(slot)
    return groups


class PendingWork(Struct, frozen=True):
    """What there is to do: stops to pass on, and scenarios that may be assigned."""

    has_stops: bool
    has_waiting: bool


async def find_work(connection: Connection) -> PendingWork:
    """Return what there is to do, without locking anything.

    None of these is deleted, which an index needs to be told.
    """
    row = await connection.fetchrow(
        """
        SELECT EXISTS (SELECT FROM scenarios WHERE state = 'init_shutdown' AND deleted_at IS NULL),
               EXISTS (SELECT FROM scenarios WHERE state = 'init_startup' AND not_before <= clock_timestamp())
        """
    )
    assert row is not None  # noqa: S101 - it selects from nothing
    return PendingWork(*row)


async def next_stop(connection: Connection) -> UUID | None:
    """Return a scenario whose runner must still be told to stop, locked until the transaction ends."""
    scenario_id: UUID | None = await connection.fetchval(
        "SELECT id FROM scenarios WHERE state = 'init_shutdown' AND deleted_at IS NULL"
        " LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return scenario_id


class FreeRunners(Struct, frozen=True):
    """Instances with free slots, and whether scenarios of batches wait for one."""

    rows: list[Record]

    @property
    def batches_wait(self) -> bool:
        """Whether scenarios of batches wait; false if there is no slot that they could get."""
        return bool(self.rows) and self.rows[0]["batches_wait"]

    def free_slots(self, limit: int) -> list[FreeSlot]:
        """Return up to `limit` free slots, in the order to take them.

        The next slot is always one of the instance that has the largest share of its slots free.
        """
        return _spread(self.rows, limit)


async def find_free_runners(connection: Connection, grace: float) -> FreeRunners:
    """Return the instances that have free slots. Nothing is locked.

    An instance without a heartbeat for `grace` seconds has none, because it may be dead long before its
    leases end. Used slots are counted in the scenarios: a heartbeat knows only the runs that have reached the
    runner.
    """
    rows = await connection.fetch(
        """
        SELECT r.runner_id, r.boot_id, r.slots, r.features, count(s.id) AS used,
               EXISTS (SELECT FROM scenarios WHERE state = 'init_startup' AND batch_id IS NOT NULL)
               AS batches_wait
          FROM runners r LEFT JOIN scenarios s USING (runner_id, boot_id)
         WHERE NOT r.superseded AND r.left_at IS NULL
           AND r.heartbeat_at > clock_timestamp() - make_interval(secs => $1)
         GROUP BY r.runner_id, r.boot_id
        HAVING count(s.id) < r.slots
        """,
        grace,
    )
    return FreeRunners(rows)


async def count_expected(connection: Connection, features: Collection[str], locked: Collection[UUID]) -> int:
    """Return how many slots with these features scenarios of no batch wait for, or will after a backoff.

    Those that this transaction has `locked` are not counted: they have their slots.
    """
    count: int = await connection.fetchval(
        """
        SELECT count(*) FROM scenarios
         WHERE state = 'init_startup' AND batch_id IS NULL AND needs <@ $1::text[] AND id <> ALL ($2::uuid[])
        """,
        list(features),
        list(locked),
    )
    return count


async def lock_slots(connection: Connection, free: Sequence[FreeSlot]) -> list[FreeSlot]:
    """Return as many of these slots as are still free, with the rows of their instances locked."""
    if not free:
        return []
    rows = await _lock_instances(connection, {slot.instance for slot in free})
    return _spread(rows, len(free))


def _spread(rows: Sequence[Record], limit: int) -> list[FreeSlot]:
    """Spread `limit` runs over the instances of these rows by the share of their slots that is used."""
    free = [
        (used / row["slots"], row["runner_id"], row["boot_id"], row["features"])
        for row in rows
        for used in range(row["used"], row["slots"])
    ]
    return [
        FreeSlot(
            Instance(runner_id, boot_id),
            FEATURES_OF_0_1_0 if features is None else frozenset(features),
        )
        for _, runner_id, boot_id, features in heapq.nsmallest(limit, free)
    ]


async def _lock_instances(connection: Connection, instances: Iterable[Instance]) -> list[Record]:
    # Counted in a statement after the lock, to see what another leader assigned while this one waited.
    chosen = sorted(instances, key=lambda each: (each.runner_id, each.boot_id))
    names = [each.runner_id for each in chosen], [each.boot_id for each in chosen]
    await connection.execute(
        """
        SELECT FROM runners WHERE (runner_id, boot_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
         ORDER BY runner_id, boot_id FOR UPDATE
        """,
        *names,
    )
    return await connection.fetch(
        """
        SELECT r.runner_id, r.boot_id, r.slots, r.features, count(s.id) AS used
          FROM runners r LEFT JOIN scenarios s USING (runner_id, boot_id)
         WHERE (r.runner_id, r.boot_id) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
           AND NOT r.superseded AND r.left_at IS NULL
         GROUP BY r.runner_id, r.boot_id
        """,
        *names,
    )
