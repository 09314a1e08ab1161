"""Scenarios that replace others, and changes of names and tags."""

from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import msgspec
import pytest
from anyio import create_task_group
from msgspec import Raw
from msgspec.structs import replace

from app.domain.stored_spec import decode_spec, encode_spec
from app.messages import (
    RESULTS,
    CreateScenario,
    DateResults,
    DeleteScenario,
    Message,
    RunFailed,
    RunStopped,
    StartScenario,
    StopRun,
    StopScenario,
    UpdateScenario,
    orchestrator_commands,
    results_changes,
    scenario_changes,
    topic_of,
)
from app.orchestrator import store, succession
from app.orchestrator.handlers import handle_command
from app.postgres import Database
from app.scenarios.successions import MAX_REPLACED
from tests.orchestrator.conftest import PATIENT, SPEC, World
from tests.support.waiting import until

NAMED = encode_spec(replace(SPEC, name="front door"))


def creation(
    spec: Raw = NAMED, tags: tuple[str, ...] | None = None, of: UUID | None = None
) -> CreateScenario:
    return CreateScenario(uuid4(), uuid4(), spec, tags=tags, replaces=of)


async def reasons(world: World, scenario_id: UUID) -> list[str]:
    return [entry["reason"] for entry in await world.history(scenario_id)]


async def answer(world: World, command: CreateScenario | StartScenario | UpdateScenario) -> tuple[str, str]:
    await world.send(command)
    async with world.database.connection() as connection:
        row = await connection.fetchrow(
            "SELECT answer, detail FROM handled_commands WHERE command_id = $1", command.command_id
        )
    assert row is not None
    return row["answer"], row["detail"]


def test_what_release_0_1_0_would_lose_or_misread_is_on_a_topic_that_it_does_not_read() -> None:
    assert topic_of(creation()) is orchestrator_commands
    assert topic_of(creation(tags=())) is scenario_changes
    assert topic_of(creation(of=uuid4())) is scenario_changes
    assert topic_of(replace(creation(), needs=("detector:marker",))) is orchestrator_commands
    assert topic_of(replace(creation(), needs=("analysis", "detector:marker"))) is scenario_changes
    assert topic_of(UpdateScenario(uuid4(), uuid4(), "x")) is scenario_changes
    for command in (StartScenario, StopScenario, DeleteScenario):
        assert topic_of(command(uuid4(), uuid4())) is orchestrator_commands


async def test_name_and_tags_are_changed_once_and_told_in_the_history(world: World) -> None:
    async with world.orchestrator():
        first = creation(tags=("gate",))
        assert await world.send(first) == "done"
        before = await world.row(first.scenario_id)
        change = UpdateScenario(uuid4(), first.scenario_id, "back door", ("gate", "night"))
        assert await world.send(change) == "done"
        assert await world.send(UpdateScenario(uuid4(), first.scenario_id, name="yard")) == "done"
        assert await world.send(change) == "done", "delivered again: it must not undo the later change"
        after = await world.row(first.scenario_id)
        assert (after["name"], after["tags"]) == ("yard", ["gate", "night"])
        assert await world.send(UpdateScenario(uuid4(), first.scenario_id, tags=("gate", "night"))) == "done"
        assert await world.send(UpdateScenario(uuid4(), first.scenario_id, tags=())) == "done"
        assert (await world.row(first.scenario_id))["tags"] == []
        told = await reasons(world, first.scenario_id)
        assert told == ["created", "name and tags changed", "name changed", "tags changed"]
        assert {entry["to_state"] for entry in await world.history(first.scenario_id)} == {"init_startup"}
        kept = [name for name in dict(before) if name not in ("name", "tags", "searched", "sort_name")]
        assert [after[name] for name in kept] == [before[name] for name in kept]


async def test_changing_a_name_does_not_end_the_pause_before_the_next_attempt(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner() as runner:
        scenario_id = await world.create()
        for attempt in (1, 2, 3):
            await runner.started(scenario_id, attempt)
            await runner.report(
                RunFailed(scenario_id, attempt, 0, error="no camera", retryable=True), ends=True
            )
        before = (await world.row(scenario_id))["not_before"]
        assert await world.send(UpdateScenario(uuid4(), scenario_id, "x")) == "done"
        assert (await world.row(scenario_id))["not_before"] == before


async def test_a_date_is_changed_while_nothing_runs_and_its_events_follow(world: World) -> None:
    date = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    changes: list[DateResults] = []

    async def take(message: Message) -> None:
        assert isinstance(message, DateResults)
        changes.append(message)

    async with world.orchestrator(), create_task_group() as group:
        await group.start(partial(world.bus.consume, results_changes, take, group=RESULTS))
        first = creation(encode_spec(replace(SPEC, recorded_at=date)))
        await world.send(first)
        refused = await answer(world, UpdateScenario(uuid4(), first.scenario_id, "x", recorded_at=None))
        assert refused == (
            "conflict",
            "It runs: wait until its state is inactive, or stop it, then change `recorded_at`.",
        )
        assert (await world.row(first.scenario_id))["name"] != "x"
        await world.send(StopScenario(uuid4(), first.scenario_id))
        for recorded_at in (date, date + timedelta(hours=1), None):
            command = UpdateScenario(uuid4(), first.scenario_id, recorded_at=recorded_at)
            assert await answer(world, command) == ("done", "")
            assert await world.send(command) == "done"  # delivered again
        assert await world.send(first) == "done", "its request is still what it was"
        async with world.database.connection() as connection:
            scenario = await store.lock(connection, first.scenario_id)
        assert scenario is not None
        assert decode_spec(scenario.spec).recorded_at is None, "with which it would be started again"
        await until(lambda: len(changes) == 2)
        group.cancel_scope.cancel()
    assert [change.recorded_at for change in changes] == [(date + timedelta(hours=1)).timestamp(), None]
    assert changes[0].number < changes[1].number


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("rtsp://camera.example/live", "has the time at which it was received"),
        (f"scenario:{UUID(int=1)}", "it has no date of its own"),
    ],
)
async def test_what_has_no_date_of_its_own_gets_none(world: World, source: str, reason: str) -> None:
    async with world.orchestrator():
        first = creation(encode_spec(replace(SPEC, source=source)))
        await world.send(first)
        await world.send(StopScenario(uuid4(), first.scenario_id))
        date = datetime(2026, 1, 31, tzinfo=UTC)
        kind, detail = await answer(world, UpdateScenario(uuid4(), first.scenario_id, recorded_at=date))
        assert kind == "conflict"
        assert reason in detail


async def test_unknown_and_deleted_scenarios_are_not_changed(world: World) -> None:
    async with world.orchestrator():
        scenario_id = await world.create()
        assert await world.send(UpdateScenario(uuid4(), uuid4(), "x")) == "unknown"
        await world.send(StopScenario(uuid4(), scenario_id))
        await world.send(DeleteScenario(uuid4(), scenario_id))
        assert await world.send(UpdateScenario(uuid4(), scenario_id, "x")) == "unknown"


async def test_the_replaced_scenario_is_stopped_and_its_name_and_tags_are_carried_on(world: World) -> None:
    async with world.orchestrator(timing=PATIENT), world.runner() as runner:
        old = creation(tags=("gate", "night"))
        assert await world.send(old) == "done"
        await runner.started(old.scenario_id)
        await world.send(UpdateScenario(uuid4(), old.scenario_id, name="back door"))
        new = creation(encode_spec(SPEC), of=old.scenario_id)
        assert await world.send(new) == "done"
        await runner.started(new.scenario_id)
        await until(lambda: any(isinstance(each, StopRun) for each in runner.commands))
        await runner.report(RunStopped(old.scenario_id, 1, 5), ends=True)
        row = await world.row(new.scenario_id)
        assert (row["name"], row["tags"], row["replaces"]) == (
            "back door",
            ["gate", "night"],
            old.scenario_id,
        )
        before = await world.row(old.scenario_id)
        assert (before["state"], before["outcome"]) == ("inactive", "stopped")
        assert f"replaced by the scenario {new.scenario_id}" in await reasons(world, old.scenario_id)
        assert f"replaces the scenario {old.scenario_id}" in await reasons(world, new.scenario_id)
        assert (await answer(world, StartScenario(uuid4(), old.scenario_id)))[0] == "conflict"


async def test_a_name_and_tags_that_are_given_are_not_carried_on(world: World) -> None:
    async with world.orchestrator():
        old = creation(tags=("gate",))
        await world.send(old)
        new = creation(encode_spec(replace(SPEC, name="yard")), tags=(), of=old.scenario_id)
        assert await world.send(new) == "done"
        row = await world.row(new.scenario_id)
        assert (row["name"], row["tags"]) == ("yard", [])


async def test_a_repeated_replacement_changes_nothing_more(world: World) -> None:
    async with world.orchestrator():
        old, later = creation(), creation()
        await world.send(old)
        await world.send(later)
        new = creation(of=old.scenario_id)
        assert await world.send(new) == "done"
        history = await world.history(old.scenario_id)
        assert await world.send(new) == "done"
        assert await world.send(replace(new, command_id=uuid4())) == "done"
        assert await world.history(old.scenario_id) == history
        for other in (
            replace(new, command_id=uuid4(), replaces=None),
            replace(new, command_id=uuid4(), replaces=later.scenario_id),
            replace(new, command_id=uuid4(), spec=encode_spec(replace(SPEC, source="other.mp4"))),
        ):
            assert await world.send(other) == "mismatch"
        assert (await world.row(later.scenario_id))["state"] == "init_startup", "it was not stopped"


async def test_only_one_scenario_replaces_another(world: World) -> None:
    async with world.orchestrator():
        old = creation()
        await world.send(old)
        rivals = [creation(of=old.scenario_id) for _ in range(5)]
        async with create_task_group() as group:
            for rival in rivals:
                group.start_soon(handle_command, world.database, rival)
        answers = {each.scenario_id: await answer(world, each) for each in rivals}
        (winner,) = (each for each, (told, _) in answers.items() if told == "done")
        assert {told for each, told in answers.items() if each != winner} == {
            ("conflict", f"The scenario in `replaces` was replaced by {winner} already: replace that one.")
        }


async def test_scenarios_that_do_not_exist_are_not_replaced_and_nothing_is_created(world: World) -> None:
    async with world.orchestrator():
        unknown = creation(of=uuid4())
        assert (await answer(world, unknown))[0] == "unknown"
        deleted = await world.create()
        await world.send(StopScenario(uuid4(), deleted))
        await world.send(DeleteScenario(uuid4(), deleted))
        assert (await answer(world, creation(of=deleted)))[0] == "unknown"
        async with world.database.connection() as connection:
            assert await connection.fetchval("SELECT count(*) FROM scenarios") == 1


async def test_a_replacement_that_was_deleted_leaves_the_replaced_one_as_it_was(world: World) -> None:
    async with world.orchestrator():
        old = creation()
        await world.send(old)
        new = creation(of=old.scenario_id)
        await world.send(new)
        await world.send(StopScenario(uuid4(), new.scenario_id))
        await world.send(DeleteScenario(uuid4(), new.scenario_id))
        assert await world.send(StartScenario(uuid4(), old.scenario_id)) == "done"
        assert await world.send(creation(of=old.scenario_id)) == "done"


async def test_a_succession_has_a_greatest_length(world: World) -> None:
    async with world.orchestrator():
        newest = creation()
        await world.send(newest)
        for _ in range(MAX_REPLACED):
            newest = creation(of=newest.scenario_id)
            assert await world.send(newest) == "done"
        told, detail = await answer(world, creation(of=newest.scenario_id))
        assert (told, "without `replaces`" in detail) == ("conflict", True)
        assert (await world.row(newest.scenario_id))["state"] == "init_startup", "it was not stopped"


async def test_a_process_that_dies_in_between_has_neither_created_nor_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction ends before its last statement; the command is delivered again, to another process."""

    async def die(*_: object) -> None:
        raise ConnectionResetError

    async with world.orchestrator():
        old = creation()
        await world.send(old)
    new = creation(of=old.scenario_id)
    with monkeypatch.context() as patched:
        patched.setattr(succession, "write_description", die)
        with pytest.raises(ConnectionResetError):
            await handle_command(world.database, new)
    assert await world.states(old.scenario_id) == ["init_startup"]
    assert await world.history(new.scenario_id) == []
    await handle_command(world.database, new)
    assert (await world.row(old.scenario_id))["outcome"] == "stopped"
    assert (await world.row(new.scenario_id))["replaces"] == old.scenario_id


async def test_rows_of_release_0_1_0_have_the_name_of_their_specification(
    world: World, scenarios: Database
) -> None:
    """Its orchestrator may lead a fleet in which others know names and tags apart."""
    scenario_id = uuid4()
    async with scenarios.connection() as connection:
        await connection.execute(
            "INSERT INTO scenarios (id, spec, state, attempt) VALUES ($1, $2, 'init_startup', 1)",
            scenario_id,
            NAMED,
        )
    async with world.orchestrator():
        assert await world.send(UpdateScenario(uuid4(), scenario_id, tags=("gate",))) == "done"
        row = await world.row(scenario_id)
        assert (row["name"], row["tags"]) == ("front door", ["gate"])
        assert msgspec.json.decode(row["spec"])["name"] == "front door"
