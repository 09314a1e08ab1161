"""Every function that works with a database, called as the service calls it, on rows that make it work."""

import inspect
import pkgutil
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib import import_module
from typing import cast
from uuid import UUID, uuid4

from anyio import move_on_after
from msgspec.structs import replace

from app.api import ApiDeps, ApiOptions, commands
from app.api.http.problems import ProblemError
from app.api.queries import commands as command_queries
from app.api.queries import health, history, predictions, progress, runners, scenarios
from app.bus import Bus
from app.concurrency.wake import Wake
from app.domain.detector_config import Marker
from app.domain.features import FEATURES
from app.domain.media import Media
from app.domain.spec import ScenarioSpec
from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    DeleteScenario,
    DropResults,
    Instance,
    Message,
    OrchestratorCommand,
    RunFinished,
    RunnerHeartbeat,
    RunnerLeaving,
    RunReleased,
    RunReport,
    RunStarted,
    StartScenario,
    StopRun,
    StopScenario,
    Topic,
    results_commands,
    runner_commands,
)
from app.orchestrator import decisions, dispatcher, handlers, heartbeats, leases, outbox, rescuer, store
from app.orchestrator.announcer import announce
from app.orchestrator.dispatcher import FreeSlot
from app.orchestrator.elector import lead
from app.orchestrator.lifecycle import AssignRun, Input, LoseRun, TellRunner, create, decide
from app.orchestrator.pruner import prune
from app.orchestrator.signals import Signals
from app.orchestrator.transactions import repeat
from app.postgres import Connection, Database
from app.predictions.checkpoint import BatchWrite, Fence
from app.predictions.codec import FRAMES_PER_BLOCK
from app.runner import checkpoints as results
from app.runner.cleanup import purge, retention
from tests.support.batches import batch

MEDIA = Media(width=640, height=360, fps=30.0)
SPEC = ScenarioSpec("clip.mp4", Marker())
PARTS = ("app.orchestrator", "app.runner", "app.api")
TAKES = ("Connection", "Database", "ApiDeps", "dsn")
LOOPS = {"app.orchestrator.run_orchestrator", "app.api.application.serve"}
"""What runs for as long as the process: it calls the others, and is cancelled once."""

BASICS = {"close", "watch", "connection", "transaction"}
"""What a database has that runs as long as it does, and that every call goes through."""

Call = Callable[["World"], Awaitable[None]]
CALLS: dict[str, Call] = {}


def functions() -> set[str]:
    """The public asynchronous functions that are given a connection, a database or its address, and what a
    database can be asked for itself."""
    found = {
        _name(method)
        for name, method in vars(Database).items()
        if inspect.isfunction(method) and _is_asynchronous(inspect.unwrap(method))
        if not name.startswith("_") and name not in BASICS
    }
    for part in PARTS:
        package = import_module(part)
        names = [part, *(each.name for each in pkgutil.walk_packages(package.__path__, f"{part}."))]
        for module in map(import_module, names):
            for name, value in vars(module).items():
                function = inspect.unwrap(value) if inspect.isfunction(value) else None
                if function is None or name.startswith("_") or function.__module__ != module.__name__:
                    continue
                if not _is_asynchronous(function):
                    continue
                if any(
                    word in str(each)
                    for each in inspect.signature(function).parameters.values()
                    for word in TAKES
                ):
                    found.add(_name(function))
    return found - LOOPS


def _is_asynchronous(function: Callable[..., object]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _name(function: Callable[..., object]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


class HandlingBus:
    """Publishing a command has the orchestrator handle it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, _topic: Topic, message: Message, **_: str) -> None:
        await handlers.handle_command(self._database, message)


class World:
    """Both databases, and what is in them."""

    def __init__(self, scenarios: Database, predictions: Database, dsn: str, chance: random.Random) -> None:
        self.scenarios = scenarios
        self.predictions = predictions
        self.dsn = dsn
        self.chance = chance
        self.deps = ApiDeps(scenarios, predictions, cast("Bus", HandlingBus(scenarios)))
        self.instances = [Instance(f"runner-{number}", uuid4()) for number in range(3)]
        self.known: list[UUID] = []
        self.recorded = [uuid4() for _ in range(5)]
        self.created: dict[UUID, UUID] = {}  # scenario → the command that made it
        self.stopped: dict[UUID, UUID] = {}  # → the one command that stops it
        self.seeded: set[UUID] = set()
        self.published: set[UUID] = set()

    async def seed(self) -> None:
        """Rows to begin with."""
        for instance in self.instances:
            async with self.scenarios.connection() as connection:
                await heartbeats.note_instance(connection, RunnerHeartbeat(instance, 100, ()))
        for _ in range(20):
            async with self.scenarios.transaction() as connection:
                scenario_id = uuid4()
                await store.insert(connection, [(create(scenario_id, encode_spec(SPEC)), None)])
                self.known.append(scenario_id)
        for _ in range(200):
            await self.seed_outbox()

    async def seed_outbox(self) -> None:
        """One message that is to be published."""
        scenario_id = uuid4()
        async with self.scenarios.transaction() as connection:
            await store.send(connection, scenario_id, results_commands, DropResults(scenario_id))
        self.seeded.add(scenario_id)

    def any_scenario(self) -> UUID:
        return self.chance.choice(self.known)

    def some_scenarios(self) -> list[UUID]:
        return self.chance.sample(self.known, 3)

    def any_instance(self) -> Instance:
        return self.chance.choice(self.instances)

    def any_input(self, scenario_id: UUID) -> Input:
        inputs: list[Input] = [
            AssignRun(self.any_instance()),
            StopScenario(uuid4(), scenario_id),
            StartScenario(uuid4(), scenario_id),
            TellRunner(),
            LoseRun("it was silent"),
            RunFinished(scenario_id, 1, 90),
        ]
        return self.chance.choice(inputs)

    def any_command(self) -> OrchestratorCommand:
        known = self.any_scenario()
        asked: list[Callable[[], OrchestratorCommand]] = [
            self.new_scenario,
            self._stop_a_created_one,
            lambda: StopScenario(uuid4(), known),
            lambda: StartScenario(uuid4(), known),
            lambda: DeleteScenario(uuid4(), uuid4()),
        ]
        return self.chance.choice(asked)()

    def new_scenario(self) -> CreateScenario:
        command = CreateScenario(uuid4(), uuid4(), encode_spec(SPEC))
        self.created[command.scenario_id] = command.command_id
        return command

    def _stop_a_created_one(self) -> OrchestratorCommand:
        left = self.created.keys() - self.stopped.keys()
        if not left:
            return self.new_scenario()
        command = StopScenario(uuid4(), left.pop())
        self.stopped[command.scenario_id] = command.command_id
        return command

    def fence(self, scenario_id: UUID) -> Fence:
        """Always the same for a scenario."""
        return Fence(scenario_id, 1, scenario_id)

    async def publish(self, _topic: Topic, message: Message, _key: str) -> None:
        """Publish, as far as a test can tell."""
        assert isinstance(message, DropResults)
        self.published.add(message.scenario_id)


def call(function: Callable[..., object]) -> Callable[[Call], Call]:
    """Registers how one of the functions is called."""

    def register(how: Call) -> Call:
        CALLS[_name(inspect.unwrap(function))] = how
        return how

    return register


@call(Database.find)
async def _find(world: World) -> None:
    wanted = world.any_scenario()
    found = await world.scenarios.find("SELECT id FROM scenarios WHERE id = ANY($1)", wanted)
    assert found is not None
    assert found["id"] == wanted


@call(store.insert)
async def _insert(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        await store.insert(connection, [(create(uuid4(), encode_spec(SPEC)), None) for _ in range(3)])


@call(store.lock)
async def _lock(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        await store.lock(connection, world.any_scenario())


@call(store.save)
async def _save(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        locked = await store.lock_available(connection, world.some_scenarios())
        await store.save(connection, [(each, decide(each, world.any_input(each.id))) for each in locked])


@call(store.lock_available)
async def _lock_available(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        await store.lock_available(connection, world.some_scenarios())


@call(store.send)
async def _send(world: World) -> None:
    scenario_id = world.any_scenario()
    async with world.scenarios.transaction() as connection:
        await store.lock(connection, scenario_id)
        stop = StopRun(world.any_instance(), scenario_id, 1)
        await store.send(connection, scenario_id, runner_commands, stop)


@call(store.was_handled)
async def _was_handled(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await store.was_handled(connection, uuid4())


@call(store.record_answer)
async def _record_answer(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        await store.record_answer(connection, uuid4(), "unknown", "There is no such scenario.")


@call(prune)
async def _prune(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await prune(connection)


@call(leases.clock)
async def _clock(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await leases.clock(connection)


@call(heartbeats.note_instance)
async def _note_instance(world: World) -> None:
    name = world.chance.choice(["namesake-1", "namesake-2"])
    async with world.scenarios.connection() as connection:
        await heartbeats.note_instance(connection, RunnerHeartbeat(Instance(name, uuid4()), 4, ()))


@call(leases.mark_leaving)
async def _mark_leaving(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await leases.mark_leaving(connection, Instance("leaver", uuid4()))


@call(rescuer.supersede_all)
async def _supersede_all(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await rescuer.supersede_all(connection)


@call(heartbeats.renew)
async def _renew(world: World) -> None:
    runs = tuple(RunReport(world.any_scenario(), 1, 5) for _ in range(3))
    async with world.scenarios.connection() as connection:
        await heartbeats.renew(connection, world.any_instance(), runs, 10)


@call(rescuer.next_lost)
async def _next_lost(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        now = await leases.clock(connection)
        await rescuer.next_lost(connection, 10, 3, now, now)


@call(rescuer.next_held)
async def _next_held(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        if lost := await rescuer.next_held(connection):
            await decisions.apply(connection, lost.scenario_id, LoseRun(lost.reason))


@call(dispatcher.next_stop)
async def _next_stop(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        if scenario_id := await dispatcher.next_stop(connection):
            await decisions.apply(connection, scenario_id, TellRunner())


@call(dispatcher.find_work)
async def _find_work(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await dispatcher.find_work(connection)


@call(dispatcher.free_slots)
async def _free_slots(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await dispatcher.free_slots(connection, 3600, 3)


@call(dispatcher.lock_slots)
async def _lock_slots(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        await dispatcher.lock_slots(connection, [FreeSlot(world.any_instance(), FEATURES) for _ in range(3)])


@call(store.lock_waiting)
async def _lock_waiting(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        for scenario in await store.lock_waiting(connection, 3, FEATURES):
            await decisions.apply_to(connection, scenario, AssignRun(world.any_instance()))


@call(announce)
async def _announce(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await announce(connection, "somebody")


@call(repeat)
async def _repeat(world: World) -> None:
    left = [True, False]

    async def tell_one(connection: Connection) -> bool:
        if scenario_id := await dispatcher.next_stop(connection):
            await decisions.apply(connection, scenario_id, TellRunner())
        return left.pop(0)

    await repeat(world.scenarios, Signals(), tell_one)


@call(decisions.apply_to)
async def _apply_to(world: World) -> None:
    scenario_id = world.any_scenario()
    async with world.scenarios.transaction() as connection:
        scenario = await store.lock(connection, scenario_id)
        assert scenario is not None
        await decisions.apply_to(connection, scenario, world.any_input(scenario_id))


@call(decisions.apply_each)
async def _apply_each(world: World) -> None:
    async with world.scenarios.transaction() as connection:
        locked = await store.lock_available(connection, world.some_scenarios())
        await decisions.apply_each(connection, [(each, world.any_input(each.id)) for each in locked])


@call(outbox.pending)
async def _pending(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await outbox.pending(connection, results_commands, 100)


@call(outbox.delete)
async def _delete(world: World) -> None:
    async with world.scenarios.connection() as connection:
        rows = await outbox.pending(connection, results_commands, 3)
        for row in rows:
            await world.publish(results_commands, row.message, row.key)
        await outbox.delete(connection, [row.id for row in rows])


@call(outbox.relay)
async def _relay(world: World) -> None:
    await world.seed_outbox()
    await outbox.relay(world.scenarios, world.publish, results_commands, Wake(), poll=0.01)


@call(lead)
async def _lead(world: World) -> None:
    async with lead(world.dsn, lambda: None, silence=10) as leadership:
        await leadership.is_held()


@call(handlers.handle_command)
async def _handle_command(world: World) -> None:
    await handlers.handle_command(world.scenarios, world.any_command())


@call(handlers.handle_event)
async def _handle_event(world: World) -> None:
    scenario_id, instance = world.any_scenario(), Instance("leaver", uuid4())
    await handlers.handle_event(
        world.scenarios,
        world.chance.choice(
            [
                RunStarted(scenario_id, 1, 0, media=MEDIA),
                RunReleased(scenario_id, 1, 7, instance=instance),
                RunnerLeaving(instance),
            ]
        ),
    )


@call(handlers.create_scenarios)
async def _create_scenarios(world: World) -> None:
    await handlers.create_scenarios(world.scenarios, [world.new_scenario() for _ in range(3)])


@call(handlers.handle_run_events)
async def _handle_run_events(world: World) -> None:
    events = [RunStarted(each, 1, 0, media=MEDIA) for each in world.some_scenarios()]
    await handlers.handle_run_events(world.scenarios, events)


@call(decisions.apply)
async def _apply(world: World) -> None:
    scenario_id = world.any_scenario()
    async with world.scenarios.transaction() as connection:
        await decisions.apply(connection, scenario_id, world.any_input(scenario_id))


@call(commands.send_command)
async def _send_command(world: World) -> None:
    with suppress(ProblemError):
        await commands.send_command(world.deps, ApiOptions(version="1"), world.any_command(), "Repeat.")


@call(results.claim_all)
async def _claim_all(world: World) -> None:
    async with world.predictions.connection() as connection:
        await results.claim_all(connection, [world.fence(each) for each in world.recorded])


@call(results.claim)
async def _claim(world: World) -> None:
    async with world.predictions.connection() as connection:
        await results.claim(connection, world.fence(world.chance.choice(world.recorded)))


@call(results.write)
async def _write(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        start = (await results.claim(connection, fence)).next_frame
        await results.write(connection, fence, batch(start, start + 3))


@call(results.write_batches)
async def _write_batches(world: World) -> None:
    fences = [world.fence(scenario_id) for scenario_id in world.chance.sample(world.recorded, 2)]
    async with world.predictions.connection() as connection:
        starts = [(await results.claim(connection, fence)).next_frame for fence in fences]
        writes = [
            BatchWrite(fence, batch(start, start + 3)) for fence, start in zip(fences, starts, strict=True)
        ]
        await results.write_batches(connection, writes)


@call(results.read_results)
async def _read_results(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        start = (await results.claim(connection, fence)).next_frame
        await results.read_results(connection, [BatchWrite(fence, batch(start, start + 3))])


@call(results.note_source_state)
async def _note_source_state(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        await results.note_source_state(connection, fence, "reconnecting")


@call(purge.leave_tombstone)
async def _leave_tombstone(world: World) -> None:
    fence = world.fence(uuid4())
    async with world.predictions.connection() as connection:
        await results.claim(connection, fence)
        await results.write(connection, fence, batch(0, 8))
        await purge.leave_tombstone(connection, fence.scenario_id)


@call(purge.next_deleted_scenario)
async def _next_deleted_scenario(world: World) -> None:
    async with world.predictions.transaction() as connection:
        await purge.next_deleted_scenario(connection)


@call(purge.remove_rows)
async def _remove_rows(world: World) -> None:
    async with world.predictions.transaction() as connection:
        if scenario_id := await purge.next_deleted_scenario(connection):
            await purge.remove_rows(connection, scenario_id, 5)


@call(retention.remove_oldest_block)
async def _remove_oldest_block(world: World) -> None:
    fence = world.fence(uuid4())
    async with world.predictions.connection() as connection:
        await results.claim(connection, fence)
        await results.write(connection, fence, replace(batch(0, FRAMES_PER_BLOCK), is_live=True))
        await retention.remove_oldest_block(connection, fence.scenario_id, 3600)


@call(retention.live_scenarios)
async def _live_scenarios(world: World) -> None:
    async with world.predictions.connection() as connection:
        await retention.live_scenarios(connection)


@call(retention.remove_old)
async def _remove_old(world: World) -> None:
    with move_on_after(0.05):
        await retention.remove_old(world.predictions, 1)


@call(command_queries.find_command_result)
async def _find_command_result(world: World) -> None:
    await command_queries.find_command_result(world.scenarios, uuid4())


@call(health.answers_within)
async def _answers_within(world: World) -> None:
    await health.answers_within(world.scenarios, 1.0)


@call(history.list_changes)
async def _list_changes(world: World) -> None:
    await history.list_changes(world.scenarios, world.any_scenario(), 0, 100)


@call(history.read_changes)
async def _read_changes(world: World) -> None:
    await history.read_changes(world.scenarios, history.StreamPosition(0, 0), 100)


@call(history.read_newest)
async def _read_newest(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await history.read_newest(connection)


@call(history.read_present)
async def _read_present(world: World) -> None:
    await history.read_present(world.scenarios)


@call(predictions.list_predictions)
async def _list_predictions(world: World) -> None:
    wanted = predictions.PredictionFilter(label="aruco:0")
    await predictions.list_predictions(world.predictions, world.chance.choice(world.recorded), wanted, 100)


@call(progress.find_stored_progress)
async def _find_stored_progress(world: World) -> None:
    await progress.find_stored_progress(world.predictions, world.any_scenario())


@call(progress.list_stored_progress)
async def _list_stored_progress(world: World) -> None:
    await progress.list_stored_progress(world.predictions, world.recorded)


@call(runners.list_runners)
async def _list_runners(world: World) -> None:
    await runners.list_runners(world.scenarios, 10)


@call(scenarios.find_scenario)
async def _find_scenario(world: World) -> None:
    await scenarios.find_scenario(world.scenarios, world.predictions, world.any_scenario())


@call(scenarios.find_row)
async def _find_row(world: World) -> None:
    await scenarios.find_row(world.scenarios, world.any_scenario())


@call(scenarios.to_scenario)
async def _to_scenario(world: World) -> None:
    row = await scenarios.find_row(world.scenarios, world.any_scenario())
    assert row is not None
    await scenarios.to_scenario(row, world.predictions)


@call(scenarios.is_completed)
async def _is_completed(world: World) -> None:
    await scenarios.is_completed(world.scenarios, world.any_scenario())


@call(scenarios.exists)
async def _exists(world: World) -> None:
    await scenarios.exists(world.scenarios, world.any_scenario())


@call(scenarios.list_scenarios)
async def _list_scenarios(world: World) -> None:
    await scenarios.list_scenarios(world.scenarios, world.predictions, None, None, 100)


@call(scenarios.find_running)
async def _find_running(world: World) -> None:
    await scenarios.find_running(world.scenarios)


@call(scenarios.count_by_state)
async def _count_by_state(world: World) -> None:
    await scenarios.count_by_state(world.scenarios)
