"""Batches are stopped, resumed and deleted as one, by whichever leader, and make way for others."""

from uuid import UUID, uuid4

import pytest
from anyio import create_task_group

from app.bus.memory import open_memory_bus
from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    DeleteBatch,
    RunFailed,
    RunStopped,
    StartBatch,
    StopBatch,
    StopRun,
    scenario_changes,
)
from app.orchestrator import announcer
from app.orchestrator.batches.feeding import scenario_id_of
from app.orchestrator.batches.keeper import BatchKeeper
from app.orchestrator.pruner import add_up_counts
from app.orchestrator.signals import Signals
from app.postgres import Connection
from app.video.identity import identify
from tests.orchestrator.batches.yard import QUICK, Yard, creation, finish, source_of, started
from tests.orchestrator.conftest import PATIENT, SPEC
from tests.support.waiting import until


async def assert_counts_are_kept(yard: Yard, batch_id: UUID) -> None:
    """Compare the counts that are kept with those of the rows, before and after they are added up."""
    kept = (
        "SELECT state, outcome, sum(number)::bigint AS n FROM batch_counts WHERE batch_id = $1 GROUP BY 1, 2"
    )
    async with yard.world.database.connection() as connection:
        counted = await connection.fetch(
            "SELECT state, outcome, count(*) AS n FROM scenarios WHERE batch_id = $1 AND deleted_at IS NULL"
            " GROUP BY 1, 2 ORDER BY 1, 2",
            batch_id,
        )
        for many in (1_000_000, 0):
            await add_up_counts(connection, many)
            assert (
                await connection.fetch(f"{kept} HAVING sum(number) <> 0 ORDER BY 1, 2", batch_id) == counted
            )
        assert await connection.fetchval("SELECT count(*) FROM batch_counts") == len(counted)


async def is_deleted(yard: Yard, batch_id: UUID) -> bool:
    return (await yard.batch(batch_id))["deleted_at"] is not None


async def test_a_batch_is_stopped_started_and_deleted_as_one(yard: Yard) -> None:
    for number in range(3):
        yard.put(f"{number}.mp4")
    world = yard.world
    async with yard.orchestrator(), world.runner() as runner:
        batch = await yard.create(creation(at_once=2))
        await until(lambda: len(runner.starts) == 2)
        first, second = runner.starts
        await runner.report(
            RunFailed(first.scenario_id, 1, 0, error="it is damaged", retryable=False), ends=True
        )
        await until(lambda: len(runner.starts) == 3)
        third = runner.starts[2]
        assert await world.send(DeleteBatch(uuid4(), batch)) == "conflict"
        assert await world.send(StopBatch(uuid4(), batch)) == "done"
        assert await world.send(StartBatch(uuid4(), batch)) == "conflict"
        stops = await until(lambda: [c for c in runner.commands if isinstance(c, StopRun)][1:2])
        assert stops
        for start in (second, third):
            await runner.report(RunStopped(start.scenario_id, 1, 3), ends=True)
        await yard.is_in(batch, "stopped")
        await assert_counts_are_kept(yard, batch)
        assert await world.send(StartBatch(uuid4(), batch)) == "done"
        again = [await runner.started(start.scenario_id, 2) for start in (second, third)]
        for start in again:
            await finish(runner, start)
        await yard.is_in(batch, "done")
        assert await world.send(StartBatch(uuid4(), batch, failed=True)) == "done"
        await finish(runner, await runner.started(first.scenario_id, 2))
        await yard.is_in(batch, "done")
        assert await world.send(DeleteBatch(uuid4(), batch)) == "done"
        await until(lambda: is_deleted(yard, batch))
        assert await world.send(StopBatch(uuid4(), batch)) == "unknown"
        assert await world.send(creation(batch_id=batch)) == "conflict"
        for start in (first, second, third):
            assert (await world.row(start.scenario_id))["deleted_at"] is not None
        await assert_counts_are_kept(yard, batch)


async def test_a_batch_that_runs_is_stopped_to_be_deleted(yard: Yard) -> None:
    yard.put("1.mp4")
    async with yard.orchestrator(), yard.world.runner() as runner:
        batch = await yard.create(creation(watch=True))
        (start,) = await until(lambda: runner.starts)
        assert await yard.world.send(DeleteBatch(uuid4(), batch, stop=True)) == "done"
        await until(lambda: [c for c in runner.commands if isinstance(c, StopRun)])
        await runner.report(RunStopped(start.scenario_id, 1, 0), ends=True)
        await until(lambda: is_deleted(yard, batch))
        assert (await yard.world.row(start.scenario_id))["deleted_at"] is not None
        async with yard.world.database.connection() as connection:
            await add_up_counts(connection)
            assert await connection.fetchval("SELECT count(*) FROM batch_counts") == 0
        assert await yard.files(batch) == {}


async def test_repeating_a_creation_creates_nothing_and_another_one_is_refused(yard: Yard) -> None:
    async with yard.orchestrator():
        first = creation()
        await yard.create(first)
        assert await yard.world.send(first) == "done"
        assert await yard.world.send(creation(batch_id=first.batch_id)) == "done"
        assert await yard.world.send(creation("other/*", batch_id=first.batch_id)) == "mismatch"


async def test_a_batch_takes_no_slot_that_another_scenario_waits_for(yard: Yard) -> None:
    for number in range(3):
        yard.put(f"{number}.mp4")
    world = yard.world
    async with yard.orchestrator(), world.runner(slots=2) as runner:
        failing = await world.create()
        for attempt in (1, 2):  # then it waits for a second, and wants its slot again after that
            start = await runner.started(failing, attempt)
            await runner.report(
                RunFailed(failing, start.attempt, 0, error="it is off", retryable=True), ends=True
            )
        await world.reaches(failing, "init_startup", 3)
        await yard.create(creation())
        await runner.started(failing, 3)
        of_batch = await until(lambda: [s for s in runner.starts if s.scenario_id != failing])
        assert len(of_batch) == 1  # 3 wait, and 1 of 2 slots was left for them
        camera = await world.create()
        await finish(runner, of_batch[0])
        assert await until(lambda: [s for s in runner.starts if s.scenario_id == camera])
        assert len([s for s in runner.starts if s.scenario_id not in (failing, camera)]) == 1


async def test_another_leader_goes_on_with_what_is_in_the_tables(yard: Yard) -> None:
    yard.put("1.mp4")
    async with yard.world.runner() as runner:
        async with yard.orchestrator():
            batch = await yard.create(creation(watch=True, at_once=1))
            await until(lambda: runner.starts)
            yard.put("2.mp4")
            await yard.have_states(batch, {"1.mp4": "taken", "2.mp4": "ready"})
        async with yard.orchestrator():
            await finish(runner, runner.starts[0])
            await until(lambda: len(runner.starts) == 2)
            yard.put("3.mp4")
            await yard.have_states(batch, {"1.mp4": "taken", "2.mp4": "taken", "3.mp4": "ready"})
            await finish(runner, runner.starts[1])
            await until(lambda: len(runner.starts) == 3)
    assert [source_of(start) for start in runner.starts] == ["1.mp4", "2.mp4", "3.mp4"]


async def test_two_leaders_at_the_same_time_analyse_each_file_once(yard: Yard) -> None:
    """As when a frozen one wakes up: what it does then is held to the tables."""
    for number in range(20):
        yard.put(f"{number:02}.mp4")
    async with yard.orchestrator(), yard.world.runner(slots=50) as runner, create_task_group() as group:
        for _ in range(2):
            keeper = BatchKeeper(yard.world.database, yard.folder, Signals(), QUICK)
            group.start_soon(keeper.run)
        batch = await yard.create(creation(at_once=7))
        for number in range(20):
            await started(runner, number + 1)
            assert len(runner.runs) <= 7
            await finish(runner, runner.starts[number])
        await yard.is_in(batch, "done")
        group.cancel_scope.cancel()
    assert sorted(map(source_of, runner.starts)) == [f"{number:02}.mp4" for number in range(20)]


async def test_a_scenario_of_a_batch_cannot_be_made_by_hand_with_its_id(yard: Yard) -> None:
    """An id that somebody has used already leaves the file taken, and the batch goes on."""
    yard.put("1.mp4", "x")
    async with yard.orchestrator(), yard.world.runner() as runner:
        command = creation()
        scenario_id = scenario_id_of(command.batch_id, "1.mp4", identify(yard.folder / "1.mp4"))
        await yard.world.send(CreateScenario(uuid4(), scenario_id, encode_spec(SPEC)))
        await finish(runner, await runner.started(scenario_id))
        batch = await yard.create(command)
        await yard.is_in(batch, "done")
        assert await yard.files(batch) == {"1.mp4": "taken"}


async def test_a_batch_is_found_though_no_signal_came(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The orchestrator that stored it died before it announced that."""

    async def announce_nothing(_connection: Connection, _sender: str) -> None:
        pass

    monkeypatch.setattr(announcer, "announce", announce_nothing)
    yard.put("1.mp4")
    async with yard.orchestrator(), yard.world.runner() as runner, open_memory_bus() as elsewhere:
        await runner.started(await yard.world.create())  # the keeper has begun to wait
        async with yard.world.orchestrator(elsewhere, timing=PATIENT):
            command = creation()
            await elsewhere.publish(scenario_changes, command, str(command.batch_id))
            await until(lambda: len(runner.starts) == 2, timeout=30)
