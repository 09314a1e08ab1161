"""Hand-outs, leases and leadership, with runners that the tests act for."""

import time
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from uuid import UUID, uuid4

import pytest
from anyio import TASK_STATUS_IGNORED, Event, create_task_group, sleep
from anyio.abc import TaskStatus
from msgspec.structs import replace

from app.bus import Bus, Handler
from app.bus.memory import open_memory_bus
from app.domain.media import Media
from app.domain.spec import RestartPolicy
from app.messages import (
    RESULTS,
    CreateScenario,
    DeleteScenario,
    DropResults,
    Instance,
    Message,
    Probe,
    RunFailed,
    RunFinished,
    RunnerHeartbeat,
    RunReleased,
    RunReport,
    RunStarted,
    RunStopped,
    StopRun,
    StopScenario,
    Topic,
    orchestrator_commands,
    results_commands,
)
from app.orchestrator import leases, store
from app.orchestrator.elector import AlreadyRunningError, lead
from app.orchestrator.leader import Timing
from app.orchestrator.lifecycle import ALONE, Scenario
from app.postgres import Connection
from tests.orchestrator.conftest import SPEC, TIMING, World
from tests.support.waiting import until

MEDIA = Media(640, 360)
PATIENT = Timing(heartbeat_interval=0.05, heartbeat_timeout=30.0)


async def test_a_scenario_goes_through_its_life(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        command = await runner.started(scenario_id)
        assert command.instance == runner.instance
        await runner.report(RunStarted(scenario_id, 1, 0, media=MEDIA))
        await world.reaches(scenario_id, "active")
        await runner.report(RunFinished(scenario_id, 1, 100), ends=True)
        await world.reaches(scenario_id, "inactive")
        row = await world.row(scenario_id)
        assert (row["outcome"], row["runner_id"], row["next_frame"]) == ("completed", None, 100)
        assert await world.states(scenario_id) == [
            "init_startup",
            "in_startup_processing",
            "active",
            "inactive",
        ]


async def test_a_stop_reaches_the_runner_and_its_end_is_heard(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        await world.send(StopScenario(uuid4(), scenario_id))
        await until(lambda: StopRun(runner.instance, scenario_id, 1) in runner.commands)
        await world.reaches(scenario_id, "in_shutdown_processing")
        await runner.report(RunStopped(scenario_id, 1, 10), ends=True)
        await world.reaches(scenario_id, "inactive")
        assert (await world.row(scenario_id))["outcome"] == "stopped"


async def test_slots_are_never_exceeded_and_whoever_waited_longest_comes_next(world: World) -> None:
    async with world.orchestrator(), world.runner(slots=2) as runner:
        ids = [await world.create() for _ in range(5)]
        await runner.started(ids[0])
        await runner.started(ids[1])
        for done, following in zip(ids, ids[2:], strict=False):
            assert runner.starts[-1].scenario_id != following
            assert len(runner.runs) == 2
            await runner.report(RunFinished(done, 1, 1), ends=True)
            await runner.started(following)
        assert [command.scenario_id for command in runner.starts] == ids


async def test_runs_are_spread_over_runners(world: World) -> None:
    async with world.orchestrator(), world.runner("a") as a, world.runner("b") as b:
        await until(partial(runners, world, 2))
        ids = [await world.create() for _ in range(4)]
        await until(lambda: len(a.runs) + len(b.runs) == len(ids))
        assert (len(a.runs), len(b.runs)) == (2, 2)


async def runners(world: World, expected: int) -> bool:
    async with world.database.connection() as connection:
        return bool(await connection.fetchval("SELECT count(*) = $1 FROM runners", expected))


async def test_a_silent_runner_loses_its_runs_to_another(world: World) -> None:
    async with world.orchestrator(), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        a.silent = True
        async with world.runner("b") as b:
            command = await b.started(scenario_id, attempt=2)
            assert command.instance == b.instance
        async with world.database.connection() as connection:
            reasons = await connection.fetch("SELECT reason FROM scenario_events ORDER BY id")
        assert "runner a was not heard of for 0.6 s" in [row["reason"] for row in reasons]


async def test_a_runner_that_forgot_a_run_loses_it_though_it_lives(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        runner.runs.clear()
        await runner.started(scenario_id, attempt=2)


async def test_a_newer_instance_ends_the_leases_of_the_older_at_once(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as older:
        scenario_id = await world.create()
        await older.started(scenario_id)
        async with world.runner("a") as newer:
            await newer.started(scenario_id, attempt=2)
            following = await world.create()
            await newer.started(following)


async def test_a_leaving_runner_gets_nothing_more_and_what_it_gives_back_is_resumed_at_once(
    world: World,
) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        await a.leave()
        await a.report(RunReleased(scenario_id, 1, 10, instance=a.instance), ends=True)
        await world.reaches(scenario_id, "init_startup", attempt=2)
        async with world.runner("b") as b:
            await b.started(scenario_id, attempt=2)
        assert len(a.starts) == 1


async def test_a_runner_that_left_before_its_first_heartbeat_was_heard_gets_nothing(world: World) -> None:
    left, slots = Instance("a", uuid4()), 4
    async with world.database.connection() as connection:
        await leases.note_leaving(connection, left)
        await leases.note_instance(connection, RunnerHeartbeat(left, slots, ()))
        assert await leases.free_slots(connection, 30.0, 1) == []


async def test_an_older_attempt_is_to_be_let_go_also_where_its_runner_has_the_newer_one(world: World) -> None:
    async with world.orchestrator(), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        await a.report(RunFailed(scenario_id, 1, 10, error="it broke", retryable=True), ends=True)
        await a.started(scenario_id, attempt=2)
        older, newer = RunReport(scenario_id, 1, 10), RunReport(scenario_id, 2, 10)
        async with world.database.connection() as connection:
            assert await leases.renew(connection, a.instance, (older, newer), 30.0) == [older]


async def test_what_reached_a_runner_too_late_is_soon_another_s(world: World) -> None:
    async with world.orchestrator(timing=PATIENT):
        async with world.runner("a") as a:
            scenario_id = await world.create()
            await a.started(scenario_id)
            await a.leave()
        async with world.runner("b") as b:
            await b.started(scenario_id, attempt=2)


async def test_a_runner_that_fell_silent_gets_nothing_more_long_before_its_leases_end(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as a:
        await until(partial(runners, world, 1))
        a.silent = True
        await sleep(10 * PATIENT.heartbeat_interval)
        scenario_id = await world.create()
        async with world.runner("b") as b:
            await b.started(scenario_id)
        assert a.starts == []


async def test_what_a_leaving_runner_gives_back_does_not_return_to_it(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner("a") as a:
        scenario_id = await world.create()
        await a.started(scenario_id)
        await a.report(RunReleased(scenario_id, 1, 10, instance=a.instance), ends=True)
        async with world.runner("b") as b:
            await b.started(scenario_id, attempt=2)
        assert len(a.starts) == 1


async def test_a_runner_that_holds_what_is_not_its_own_is_told_to_let_go(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        stray = uuid4()
        runner.runs[stray, 7] = 0
        await until(lambda: StopRun(runner.instance, stray, 7) in runner.commands)


async def test_a_stop_that_was_lost_is_sent_again(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        await world.send(StopScenario(uuid4(), scenario_id))
        stop = StopRun(runner.instance, scenario_id, 1)
        await until(lambda: runner.commands.count(stop) >= 2)


async def test_results_of_a_deleted_scenario_are_dropped(world: World) -> None:
    dropped: list[Message] = []

    async def drop(message: Message) -> None:
        dropped.append(message)

    async with world.orchestrator():
        scenario_id = await world.create()
        await world.send(StopScenario(uuid4(), scenario_id))
        await world.send(DeleteScenario(uuid4(), scenario_id))
        async with create_task_group() as group:
            group.start_soon(partial(world.bus.consume, results_commands, drop, group=RESULTS))
            await until(lambda: dropped == [DropResults(scenario_id)])
            group.cancel_scope.cancel()


async def test_results_that_cannot_be_dropped_yet_hold_up_no_runner(world: World) -> None:
    async with world.orchestrator(), world.runner() as runner:
        deleted = await world.create()
        await runner.started(deleted)
        await world.send(StopScenario(uuid4(), deleted))
        await runner.report(RunStopped(deleted, 1, 10), ends=True)
        assert await world.send(DeleteScenario(uuid4(), deleted)) == "done"
        # Nobody takes part in dropping results: publishing that waits.
        await runner.started(await world.create())


async def test_an_orchestrator_that_was_away_takes_nothing_from_runners_that_worked_on(world: World) -> None:
    async with world.runner() as runner:
        async with world.orchestrator():
            scenario_id = await world.create()
            await runner.started(scenario_id)
        await sleep(2 * TIMING.heartbeat_timeout)
        async with world.orchestrator():
            await sleep(2 * TIMING.heartbeat_timeout)
            assert (await world.row(scenario_id))["attempt"] == 1


class DeafBus:
    """A bus whose heartbeats and probes are held back while it is deaf, and delivered afterwards."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._hears = Event()
        self._hears.set()

    def go_deaf(self) -> None:
        self._hears = Event()

    def hear_again(self) -> None:
        self._hears.set()

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        if isinstance(message, RunnerHeartbeat | Probe):
            await self._hears.wait()
        await self._bus.publish(topic, message, key)

    async def consume(
        self,
        topic: Topic,
        handler: Handler,
        *,
        group: str | None = None,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        await self._bus.consume(topic, handler, group=group, task_status=task_status)

    def partition_keys(self, topic: Topic) -> Sequence[str]:
        return self._bus.partition_keys(topic)


async def test_silence_does_not_count_while_nothing_could_be_heard(world: World) -> None:
    bus = DeafBus(world.bus)
    async with world.orchestrator(bus), world.runner(bus=bus) as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        bus.go_deaf()
        await sleep(3 * TIMING.heartbeat_timeout)
        assert (await world.row(scenario_id))["attempt"] == 1
        runner.silent = True
        bus.hear_again()
        await world.reaches(scenario_id, "in_startup_processing", attempt=1)
        await until(lambda: lost(world, scenario_id))


class SlowBus(DeafBus):
    """A bus on which publishing a probe takes a while."""

    async def publish(self, topic: Topic, message: Message, key: str) -> None:
        if isinstance(message, Probe):
            await sleep(0.15)
        await super().publish(topic, message, key)


async def test_leases_end_though_the_timeout_is_short_and_the_bus_slow(world: World) -> None:
    timing = Timing(heartbeat_interval=0.2, heartbeat_timeout=0.6)
    async with world.orchestrator(SlowBus(world.bus), timing=timing), world.runner() as runner:
        scenario_id = await world.create()
        await runner.started(scenario_id)
        runner.silent = True
        await until(lambda: lost(world, scenario_id))


async def lost(world: World, scenario_id: object) -> bool:
    async with world.database.connection() as connection:
        return bool(await connection.fetchval("SELECT attempt > 1 FROM scenarios WHERE id = $1", scenario_id))


async def silent_for(world: World, seconds: float) -> bool:
    async with world.database.connection() as connection:
        return bool(
            await connection.fetchval(
                "SELECT lease_renewed_at < clock_timestamp() - make_interval(secs => $1) FROM scenarios",
                seconds,
            )
        )


async def leaders(world: World) -> int:
    async with world.database.connection() as connection:
        count: int = await connection.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    return count


async def test_another_orchestrator_takes_over_when_the_leader_loses_its_connection(world: World) -> None:
    async with world.orchestrator(), world.orchestrator(), world.runner() as runner:
        first = await world.create()
        await runner.started(first)
        assert await leaders(world) == 1
        async with world.database.connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        second = await world.create()
        await runner.started(second)
        assert await leaders(world) == 1


async def test_silence_goes_on_counting_when_another_takes_over(world: World) -> None:
    timing = Timing(heartbeat_interval=0.1, heartbeat_timeout=2.0)
    async with (
        world.orchestrator(timing=timing),
        world.orchestrator(timing=timing),
        world.runner() as runner,
    ):
        scenario_id = await world.create()
        await runner.started(scenario_id)
        runner.silent = True
        silent_since = time.monotonic()
        await until(lambda: silent_for(world, 1.5), timeout=3)
        async with world.database.connection() as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        await until(lambda: lost(world, scenario_id))
        assert time.monotonic() - silent_since < 3.4  # and not two seconds from the new leader's start on


async def test_a_leader_hears_at_once_of_what_another_orchestrator_has_handled(world: World) -> None:
    rare = Timing(heartbeat_interval=60.0, heartbeat_timeout=600.0)
    async with world.orchestrator(timing=rare), world.runner() as runner, open_memory_bus() as elsewhere:
        first = await world.create()
        await runner.started(first)
        async with world.orchestrator(elsewhere, timing=rare):
            second = uuid4()
            create = CreateScenario(uuid4(), second, SPEC)
            await elsewhere.publish(orchestrator_commands, create, str(second))
            await runner.started(second)


async def test_many_runs_are_handed_out_at_once(world: World) -> None:
    async with world.orchestrator(timing=PATIENT):
        scenarios = [await world.create() for _ in range(120)]
        async with world.runner(slots=1000) as runner:
            for scenario_id in scenarios:
                await runner.started(scenario_id)
        moments = {(await world.row(scenario_id))["updated_at"] for scenario_id in scenarios}
        assert len(moments) == 3  # one for each transaction


async def test_a_hand_out_never_comes_before_what_it_follows_in_the_order_of_streams(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_waiting = store.lock_waiting
    late: list[UUID] = []

    async def once_another_was_created(connection: Connection, limit: int) -> list[Scenario]:
        if not late:
            late.append(await world.create())
        return await lock_waiting(connection, limit)

    monkeypatch.setattr(store, "lock_waiting", once_another_was_created)
    async with world.orchestrator(), world.runner() as runner:
        await world.create()
        await until(lambda: late)
        await runner.started(late[0])
    async with world.database.connection() as connection:
        told = await connection.fetch(
            "SELECT to_state FROM scenario_events WHERE scenario_id = $1 ORDER BY xid, id", late[0]
        )
    assert [row["to_state"] for row in told] == ["init_startup", "in_startup_processing"]


async def test_a_frozen_leader_is_replaced(world: World) -> None:
    async with lead(world.dsn, lambda: None, silence=0.2) as frozen:
        async with world.orchestrator(), world.runner() as runner:
            scenario_id = await world.create()
            await runner.started(scenario_id)
        assert not await frozen.is_held()


async def test_a_process_that_must_be_alone_says_when_it_is_not(world: World) -> None:
    async with world.orchestrator(alone=True):
        with pytest.RaisesGroup(AlreadyRunningError, allow_unwrapped=True, flatten_subgroups=True):
            async with world.orchestrator(alone=True):
                pytest.fail("two processes run on one database")


async def test_a_process_that_is_alone_ends_every_older_lease_at_its_start(world: World) -> None:
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as before:
        scenario_id = await world.create()
        await before.started(scenario_id)
    async with world.orchestrator(timing=replace(PATIENT, heartbeat_interval=5.0), alone=True):
        assert await lost(world, scenario_id)
        async with world.runner("runner-2") as after:
            await after.started(scenario_id, attempt=2)


async def test_what_is_lost_together_again_and_again_is_begun_one_after_the_other(world: World) -> None:
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as runner:
        scenarios = [await world.create() for _ in range(3)]
        for scenario_id in scenarios:
            await runner.started(scenario_id)
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as runner:
        for scenario_id in scenarios:
            await runner.started(scenario_id, attempt=2)
    async with world.orchestrator(timing=PATIENT, alone=True):
        for scenario_id in scenarios:
            await until(lambda: lost_again(world, scenario_id))  # noqa: B023 - awaited at once
        due = sorted([(await world.row(scenario_id))["not_before"] for scenario_id in scenarios])
    assert all((late - early).total_seconds() > 1.5 for early, late in pairwise(due))


async def test_the_last_chance_of_a_run_is_given_to_it_alone(world: World) -> None:
    """What takes their process down may store something each time, and so never be suspected itself."""
    frail = replace(SPEC, restart=RestartPolicy(max_restarts=1))
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as runner:
        stores = await world.create()
        stores_nothing = await world.create(frail)
        await runner.started(stores_nothing)
        await runner.started(stores)
        runner.runs[stores, 1] = 7
        await until(lambda: reported(world, stores, 7))
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner("runner-2") as runner:
        await runner.started(stores_nothing, attempt=2)
        row = await world.row(stores)
        assert (row["state"], row["failures"]) == ("init_startup", 0)
        assert (row["not_before"] - row["updated_at"]).total_seconds() == ALONE


async def reported(world: World, scenario_id: UUID, frames: int) -> bool:
    return bool((await world.row(scenario_id))["next_frame"] == frames)


async def lost_again(world: World, scenario_id: UUID) -> bool:
    return bool((await world.row(scenario_id))["failures"] == 2)
