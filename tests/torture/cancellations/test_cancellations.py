"""Calls of every function that works with a database, cancelled at any moment, on pools of four.

Afterwards both pools have all their connections, and the databases neither a transaction nor a lock that
is no longer needed, nor half of an effect.
"""

import asyncio
import logging
import math
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import pytest
from anyio import create_task_group, fail_after, move_on_after, sleep

from app.messages import UpdateScenario
from app.orchestrator import decisions, handlers
from app.orchestrator.lifecycle import AssignRun
from app.postgres import Connection, Database, open_connection, open_database
from tests.support.proxy import Proxy, proxied
from tests.support.waiting import until
from tests.torture.battery import Battery, size
from tests.torture.cancellations.calls import CALLS
from tests.torture.cancellations.registry import functions
from tests.torture.cancellations.world import World

POOL = 4
WORKERS = 6
CANCELLATIONS = size(600, 10_000)
UNGUARDED = size(150, 600)
LATENCY = 0.002  # seconds one way, half of the time: so that every wait of a call is met

_CALL: ContextVar[str] = ContextVar("call", default="no call")

COMMANDS = ("app.orchestrator.handlers.handle_command", "app.api.commands.send_command")

HALVES = """
    SELECT (SELECT count(*) FROM scenarios s WHERE s.state IS DISTINCT FROM
                (SELECT to_state FROM scenario_events WHERE scenario_id = s.id ORDER BY id DESC LIMIT 1))
         + (SELECT count(*) FROM scenarios s WHERE
                (SELECT count(*) FROM scenario_events
                  WHERE scenario_id = s.id AND to_state = 'in_startup_processing' AND from_state <> to_state)
                <> (SELECT count(*) FROM outbox WHERE key = s.id::text AND message->>'type' = 'StartRun'))
         + (SELECT count(*) FROM unnest($1::uuid[], $2::uuid[]) AS asked (scenario_id, command_id) WHERE
                EXISTS (SELECT FROM scenarios s WHERE s.id = asked.scenario_id)
                <> EXISTS (SELECT FROM handled_commands h WHERE h.command_id = asked.command_id))
         + (SELECT count(*) FROM unnest($3::uuid[], $4::uuid[]) AS asked (scenario_id, command_id) WHERE
                EXISTS (SELECT FROM scenario_events e
                         WHERE e.scenario_id = asked.scenario_id AND e.reason = 'stop requested')
                AND NOT EXISTS (SELECT FROM handled_commands h WHERE h.command_id = asked.command_id))
         + (SELECT count(*) FROM scenarios s WHERE s.replaces IS NOT NULL AND NOT EXISTS
                (SELECT FROM scenario_events e WHERE e.scenario_id = s.replaces
                    AND e.reason = 'replaced by the scenario ' || s.id))
"""
HALF_BATCHES = """
    SELECT count(*) FROM checkpoints c, LATERAL (
        SELECT count(*) AS stored, coalesce(max(frame), -1) + 1 AS reached
          FROM predictions p WHERE p.scenario_id = c.scenario_id) AS found
     WHERE CASE WHEN c.purged THEN stored > 0
                WHEN c.dropped THEN stored > c.next_frame
                ELSE stored <> c.next_frame - c.purged_before
                  OR greatest(reached, c.purged_before) <> c.next_frame
                  OR c.frames_sampled <> c.next_frame END
"""


@dataclass
class Left:
    """What the cancellations left behind."""

    free: int
    idle_in_transaction: int
    advisory_locks: int
    halves: int
    complaints: int

    @property
    def damage(self) -> bool:
        """Whether anything is not as it was before."""
        held = self.idle_in_transaction + self.advisory_locks
        return self.free < 2 * POOL or held + self.halves + self.complaints > 0

    def __str__(self) -> str:
        return (
            f"{self.free} of {2 * POOL} connections free, {self.idle_in_transaction} idle in transaction,"
            f" {self.advisory_locks} advisory locks, {self.halves} half effects, {self.complaints} complaints"
        )


class Rig:
    """Both pools, the calls that go through them, and connections of its own to look at what is left."""

    def __init__(self, world: World, proxies: list[Proxy], lookers: list[Connection]) -> None:
        self.world = world
        self.made = 0
        self._proxies = proxies
        self._lookers = lookers
        self._seconds = dict.fromkeys(CALLS, 0.0)
        self._cancelled = dict.fromkeys(CALLS, 0)
        self._complaints = 0

    async def cancel(self, times: int, names: Sequence[str] = tuple(CALLS)) -> None:
        """Make calls until so many were cancelled, and those of each function a few times."""
        for name in names:
            began = asyncio.get_running_loop().time()
            with move_on_after(0.5):
                await self._call(name)
            self._seconds[name] = asyncio.get_running_loop().time() - began
        with self._listening():
            async with create_task_group() as tasks:
                tasks.start_soon(self._vary_latency, times, names)
                for _ in range(WORKERS):
                    tasks.start_soon(self._work, times, names)
            for proxy in self._proxies:
                proxy.latency = 0
            await sleep(1.0)  # what was cancelled last may still be on its way

    async def left(self) -> Left:
        """Look what is left, once what was cut has been noticed."""
        for looker in self._lookers:
            with suppress(AssertionError):
                await until(lambda: settled(looker), timeout=30)  # noqa: B023 - awaited here
        return Left(
            free=await free(self.world.scenarios) + await free(self.world.predictions),
            idle_in_transaction=sum([await idle_in_transaction(looker) for looker in self._lookers]),
            advisory_locks=sum([await advisory_locks(looker) for looker in self._lookers]),
            halves=await self._halves(),
            complaints=self._complaints,
        )

    async def _work(self, times: int, names: Sequence[str]) -> None:
        chance = self.world.chance
        while not self._is_done(times, names):
            name = names[self.made % len(names)]
            self.made += 1
            delay = chance.uniform(0, 2) * self._seconds[name]
            # Half of the calls are cancelled, once this knows how long they take: so it is at any moment.
            if await self._is_cancelled(name, delay, once=chance.random() < 0.3):
                self._cancelled[name] += 1
                self._seconds[name] = min(1.1 * self._seconds[name], 1.0)
            else:
                self._seconds[name] /= 1.1

    def _is_done(self, times: int, names: Sequence[str]) -> bool:
        least = math.ceil(times / len(names) / 5)
        return sum(self._cancelled.values()) >= times and all(
            self._cancelled[each] >= least for each in names
        )

    async def _vary_latency(self, times: int, names: Sequence[str]) -> None:
        while not self._is_done(times, names):
            for proxy in self._proxies:
                proxy.latency = self.world.chance.choice([0, LATENCY])
            await sleep(0.1)

    async def _is_cancelled(self, name: str, delay: float, *, once: bool) -> bool:
        """Make the call and cancel it after `delay`: once as asyncio does, or at every wait as anyio does."""
        if once:
            task = asyncio.ensure_future(self._call(name))
            await asyncio.wait([task], timeout=delay)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled() or bool(task.result())
        with move_on_after(delay) as scope:
            await self._call(name)
        return scope.cancelled_caught

    async def _call(self, name: str) -> None:
        _CALL.set(name)
        try:
            await CALLS[name](self.world)
        except (asyncpg.DeadlockDetectedError, asyncpg.QueryCanceledError):
            return  # what contends is ended, and repeated by whoever called

    async def _halves(self) -> int:
        scenarios, predictions = self._lookers
        created, stopped = self.world.created, self.world.stopped
        asked = [list(each) for pairs in (created, stopped) for each in (pairs, pairs.values())]
        found: int = await scenarios.fetchval(HALVES, *asked)
        found += await predictions.fetchval(HALF_BATCHES)
        rows = await scenarios.fetch("SELECT key FROM outbox WHERE topic = 'results_commands'")
        waiting = {row["key"] for row in rows}
        return found + sum(str(each) not in waiting for each in self.world.seeded - self.world.published)

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Count what the event loop complains about, for asyncpg or itself."""
        rig = self

        class Counting(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                rig._complaints += 1
                print(f"during {_CALL.get()}: {record.getMessage()}")

        handler = Counting(logging.WARNING)
        logger = logging.getLogger("asyncio")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)


async def settled(looker: Connection) -> bool:
    return not await idle_in_transaction(looker) and not await advisory_locks(looker)


async def idle_in_transaction(looker: Connection) -> int:
    found: int = await looker.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
    )
    return found


async def advisory_locks(looker: Connection) -> int:
    found: int = await looker.fetchval(
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database()"
    )
    return found


async def free(database: Database) -> int:
    """How many connections can be had at once, and work."""
    found = 0
    with suppress(TimeoutError), fail_after(5):
        async with AsyncExitStack() as stack:
            for _ in range(POOL):
                connection = await stack.enter_async_context(database.connection())
                found += await connection.fetchval("SELECT 1")
    return found


@asynccontextmanager
async def rigged(
    scenarios_dsn: str, predictions_dsn: str, *, acquire_timeout: float = 10.0
) -> AsyncIterator[Rig]:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    async with (
        proxied(scenarios_dsn) as first,
        proxied(predictions_dsn) as second,
        open_database(first.dsn, size=POOL, acquire_timeout=acquire_timeout) as scenarios,
        open_database(second.dsn, size=POOL, acquire_timeout=acquire_timeout) as predictions,
        open_connection(scenarios_dsn) as looker,
        open_connection(predictions_dsn) as other,
    ):
        world = World(scenarios, predictions, first.dsn, random.Random(seed))
        await world.seed()
        yield Rig(world, [first, second], [looker, other])


def test_every_function_is_cancelled() -> None:
    assert functions() == set(CALLS)


async def test_notes_about_a_started_scenario_are_no_half_effects(
    scenarios_dsn: str, predictions_dsn: str
) -> None:
    async with rigged(scenarios_dsn, predictions_dsn) as rig:
        scenario_id, world = rig.world.any_scenario(), rig.world
        async with world.scenarios.transaction() as connection:
            await decisions.apply(connection, scenario_id, AssignRun(world.any_instance()))
        await handlers.handle_command(world.scenarios, UpdateScenario(uuid4(), scenario_id, "front door"))
        left = await rig.left()
    assert not left.damage, left


@pytest.mark.timeout(size(240, 3600))
async def test_cancellations_leave_nothing_behind(
    scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    async with rigged(scenarios_dsn, predictions_dsn) as rig:
        await rig.cancel(CANCELLATIONS)
        left = await rig.left()
        assert not left.damage, left
    tried = (
        f"{CANCELLATIONS:,} cancellations of {len(CALLS)} functions on pools of {POOL}, {rig.made:,} calls"
    )
    battery.passed(6, "calls of every store function, cancelled at random moments", tried, str(left))


@asynccontextmanager
async def without_return(database: Database) -> AsyncIterator[Connection]:
    connection = await database._acquire()
    yield connection
    await database._release(connection)


@asynccontextmanager
async def without_transaction(database: Database) -> AsyncIterator[Connection]:
    async with database.connection() as connection:
        yield connection


@asynccontextmanager
async def without_rollback(database: Database) -> AsyncIterator[Connection]:
    async with database.connection() as connection:
        await connection.execute("BEGIN")
        yield connection
        await connection.execute("COMMIT")


@asynccontextmanager
async def without_shield(database: Database) -> AsyncIterator[Connection]:
    async with database.connection() as connection, connection.transaction():
        yield connection


@pytest.mark.parametrize(
    ("guard", "method", "replacement", "damage"),
    [
        ("giving back the connections of cancelled calls", "connection", without_return, "free"),
        ("transactions", "transaction", without_transaction, "halves"),
        ("rollbacks of cancelled transactions", "transaction", without_rollback, "complaints"),
        ("shielding rollbacks from what cancels", "transaction", without_shield, "complaints"),
    ],
)
@pytest.mark.timeout(size(240, 1200))
async def test_without_its_guards_the_damage_is_seen(
    scenarios_dsn: str,
    predictions_dsn: str,
    battery: Battery,
    monkeypatch: pytest.MonkeyPatch,
    guard: str,
    method: str,
    replacement: object,
    damage: str,
) -> None:
    async with rigged(scenarios_dsn, predictions_dsn, acquire_timeout=0.5) as rig:
        for tried in range(UNGUARDED, 20 * UNGUARDED, UNGUARDED):
            with monkeypatch.context() as patch, suppress(ExceptionGroup):
                patch.setattr(Database, method, replacement)
                await rig.cancel(tried, COMMANDS if damage == "halves" else tuple(CALLS))
            left = await rig.left()
            found = 2 * POOL - left.free if damage == "free" else getattr(left, damage)
            if found:
                break
    assert found, left
    battery.unguarded(6, guard, f"{tried:,} cancellations", str(left))
