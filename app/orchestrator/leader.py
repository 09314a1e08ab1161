"""What the leading orchestrator does: it ends leases, passes stops on and hands out runs.

All orchestrators hear the heartbeats and renew leases, so that whoever takes over knows who was silent.
"""

import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4

import structlog
from anyio import TASK_STATUS_IGNORED, create_task_group, sleep
from anyio.abc import TaskStatus
from msgspec import Struct

from ..bus import Bus
from ..concurrency.wake import Wake
from ..domain.states import State
from ..messages import (
    DeleteScenario,
    Instance,
    Message,
    Probe,
    RunnerHeartbeat,
    RunStarted,
    StopRun,
    results_commands,
    runner_commands,
    runner_heartbeats,
)
from ..postgres import TRANSIENT, Connection, Database
from . import leases, store
from .elector import Leadership, lead
from .handlers import apply, apply_each
from .lifecycle import (
    ALONE,
    MAX_BACKOFF,
    AssignRun,
    LoseRun,
    TellRunner,
    has_one_chance,
    is_suspect,
)
from .outbox import relay
from .watchdog import Watchdog

log = structlog.get_logger(__name__)

_PRUNE_EVERY = 3600.0
_HAND_OUTS = 50  # in one transaction at most
_BETWEEN_NOTICES = 0.02
_PATIENCE = 3.0  # seconds until a process that must be alone takes it that it is not


class Timing(Struct, frozen=True):
    """Seconds: between heartbeats, and how long without one a lease lasts."""

    heartbeat_interval: float = 1.0
    heartbeat_timeout: float = 10.0

    @property
    def grace(self) -> float:
        """Without a heartbeat for this long, a runner gets nothing more, and one that leaves has left."""
        return 3 * self.heartbeat_interval


class Leader:
    """Leads while it holds the lock, and waits for it otherwise."""

    def __init__(self, dsn: str, database: Database, bus: Bus, timing: Timing, *, alone: bool) -> None:
        self._dsn = dsn
        self._database = database
        self._bus = bus
        self._timing = timing
        self._alone = alone
        self._id = uuid4()
        self._moved = Wake()
        self._wake_leader = Wake()
        self._wake_relays = {topic: Wake() for topic in (runner_commands, results_commands)}
        interval, timeout = timing.heartbeat_interval, timing.heartbeat_timeout
        self._watchdog = Watchdog(bus, interval=min(interval, timeout / 10), longest_gap=timeout / 2)
        self._heard_since = datetime.min.replace(tzinfo=UTC)
        self._leads = False
        self._adrift: dict[Instance, set[tuple[UUID, int]]] = {}
        self._namesakes: set[Instance] = set()
        self._suspects = 0  # that were lost together
        self._reserved = 0.0  # seconds in which one of them is to be alone
        self._end_leases_at = 0.0
        self._prune_at = 0.0

    def note_move(self, message: Message) -> None:
        """A scenario moved because of this message: look what there is to do now, and tell others of it."""
        self._moved.set()
        if isinstance(message, DeleteScenario):
            self._wake_relays[results_commands].set()
        elif not isinstance(message, RunStarted):
            self._wake_leader.set()

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Lead whenever possible, until cancelled.

        A process that must be `alone` reports ready only as leader, and begins by ending every older lease:
        whoever held one is gone. Raises AlreadyRunningError where it is not alone, or no longer.
        """
        timeout = self._timing.heartbeat_timeout
        patience = _PATIENCE if self._alone else math.inf
        first = self._alone
        async with create_task_group() as group:
            group.start_soon(self._announce)
            if not self._alone:
                await group.start(self._listen)
                task_status.started()
            while True:
                async with lead(
                    self._dsn, self._wake, but_by=str(self._id), silence=timeout, patience=patience
                ) as leadership:
                    if first:
                        while not await self._try(self._end_every_lease):
                            await self._wake_leader.wait(self._timing.heartbeat_interval)
                        await group.start(self._listen)
                        task_status.started()
                        # From now on its own lost connection may refuse it, until the server misses that.
                        first, patience = False, timeout + _PATIENCE
                    await self._lead(leadership)

    def _wake(self) -> None:
        self._wake_leader.set()
        for wake in self._wake_relays.values():
            wake.set()

    async def _announce(self) -> None:
        """Tell event streams and other orchestrators, at once, but not for each of many moves."""
        while True:
            await self._moved.wait(math.inf)
            await self._try(self._tell_others)
            await sleep(_BETWEEN_NOTICES)

    async def _tell_others(self) -> None:
        async with self._database.connection() as connection:
            await store.announce(connection, str(self._id))

    async def _listen(self, *, task_status: TaskStatus[None]) -> None:
        """Hear heartbeats and probes; while another leads, note all the same when nothing could be heard."""
        async with create_task_group() as group:
            await group.start(self._bus.consume, runner_heartbeats, self._hear)
            group.start_soon(self._watchdog.probe)
            task_status.started()
            while True:
                if not self._leads:
                    await self._try(self._note_silence)
                await sleep(self._timing.heartbeat_interval)

    async def _note_silence(self) -> None:
        now = await self._clock()
        if not self._leads and self._watchdog.was_deaf():
            self._heard_since = now

    async def _clock(self) -> datetime:
        async with self._database.connection() as connection:
            return await leases.clock(connection)

    async def _lead(self, leadership: Leadership) -> None:
        log.info("leading")
        self._leads = True
        try:
            async with create_task_group() as group:
                for topic, wake in self._wake_relays.items():
                    group.start_soon(relay, self._database, self._bus.publish, topic, wake)
                while await leadership.is_held():
                    await self._try(self._round)
                    await self._wake_leader.wait(self._timing.heartbeat_interval)
                group.cancel_scope.cancel()
        finally:
            self._leads = False

    async def _try(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Whether it was done: a fault of the database's leaves it to the next try."""
        try:
            await work()
        except TRANSIENT as error:
            log.warning("leader waits", error=str(error) or type(error).__name__)
            return False
        return True

    async def _hear(self, message: Message) -> None:
        if isinstance(message, Probe):
            self._watchdog.hear(message)
            return
        assert isinstance(message, RunnerHeartbeat)  # noqa: S101 - the topic holds nothing else
        if not self._leads and self._watchdog.is_behind:
            return  # an old heartbeat would renew leases falsely
        async with self._database.connection() as connection:
            standing = await leases.note_instance(connection, message)
            if standing == "new":
                self._end_leases_at = 0.0
                self._wake_leader.set()
            elif standing == "replaced":
                self._warn_of_namesake(message.instance)
            adrift = await leases.renew(
                connection, message.instance, message.runs, self._timing.heartbeat_timeout
            )
        if not self._leads:
            return
        # One heartbeat may have crossed the run's end on its way; two in a row are a lost message.
        runs = {(run.scenario_id, run.attempt) for run in adrift}
        for scenario_id, attempt in runs & self._adrift.pop(message.instance, set()):
            await self._stop_again(StopRun(message.instance, scenario_id, attempt))
        if runs:
            self._adrift[message.instance] = runs

    def _warn_of_namesake(self, instance: Instance) -> None:
        if instance not in self._namesakes:
            self._namesakes.add(instance)
            log.warning(
                "two runners have one name, and only the newer is used: give each a VA_RUNNER_ID of its own",
                runner=instance.runner_id,
            )

    async def _stop_again(self, stop: StopRun) -> None:
        async with self._database.transaction() as connection:
            await store.lock(connection, stop.scenario_id)
            await store.tell(connection, stop.scenario_id, runner_commands, stop)
        self._wake_relays[runner_commands].set()

    async def _round(self) -> None:
        if time.monotonic() >= self._end_leases_at:
            self._end_leases_at = time.monotonic() + self._timing.heartbeat_interval
            await self._end_leases()
        async with self._database.connection() as connection:
            due = await leases.look(connection)
        if due.stops:
            await self._repeat(self._tell)
        if due.hand_outs:
            await self._repeat(self._hand_out)
        if time.monotonic() > self._prune_at:
            async with self._database.connection() as connection:
                more = await store.prune(connection)
            self._prune_at = time.monotonic() + (0 if more else _PRUNE_EVERY)

    async def _end_leases(self) -> None:
        now = await self._clock()
        # Asked after the clock was read: should this process freeze from here on, `now` is still covered.
        if self._watchdog.was_deaf():
            self._heard_since = now
        self._suspects, self._reserved = 0, 0.0
        await self._repeat(partial(self._end_lease, now))

    async def _repeat(self, step: Callable[[Connection], Awaitable[bool]]) -> None:
        """Take one step a transaction until there is nothing left to do."""
        more = True
        while more:
            async with self._database.transaction() as connection:
                more = await step(connection)
            self._wake_relays[runner_commands].set()
            self._moved.set()

    async def _end_lease(self, heard_until: datetime, connection: Connection) -> bool:
        timing = self._timing
        ended = await leases.next_ended(
            connection, timing.heartbeat_timeout, timing.grace, self._heard_since, heard_until
        )
        return await self._lose(connection, ended)

    async def _end_every_lease(self) -> None:
        async with self._database.connection() as connection:
            await leases.supersede_all(connection)
        self._suspects, self._reserved = 0, 0.0
        await self._repeat(self._end_any_lease)

    async def _end_any_lease(self, connection: Connection) -> bool:
        return await self._lose(connection, await leases.next_held(connection))

    async def _lose(self, connection: Connection, ended: leases.Ended | None) -> bool:
        if ended is None:
            return False
        loss = LoseRun(ended.reason, self._suspects, self._reserved)
        lost = await apply(connection, ended.scenario_id, loss)
        if lost is not None and lost.scenario.state == State.INIT_STARTUP:
            self._suspects += is_suspect(lost.scenario)
            if has_one_chance(lost.scenario):
                self._reserved = min(lost.scenario.delay + ALONE, MAX_BACKOFF)
        return True

    async def _tell(self, connection: Connection) -> bool:
        scenario_id = await leases.next_to_tell(connection)
        if scenario_id is not None:
            await apply(connection, scenario_id, TellRunner())
        return scenario_id is not None

    async def _hand_out(self, connection: Connection) -> bool:
        free = await leases.free_slots(connection, self._timing.grace, _HAND_OUTS)
        # First of all locks, with which a transaction gets its place in the order that event streams tell
        # changes in: so it comes after whatever has made these scenarios wait.
        waiting = await store.lock_waiting(connection, len(free)) if free else []
        slots = await leases.lock_slots(connection, free[: len(waiting)])
        await apply_each(connection, zip(waiting, map(AssignRun, slots), strict=False))
        return len(waiting) == _HAND_OUTS
