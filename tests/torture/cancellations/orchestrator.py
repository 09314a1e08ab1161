"""Calls of the functions of app.orchestrator."""

from uuid import uuid4

from msgspec.structs import replace

from app.concurrency.wake import Wake
from app.domain.features import FEATURES
from app.domain.stored_spec import encode_spec
from app.messages import (
    CreateScenario,
    Instance,
    RunnerHeartbeat,
    RunnerLeaving,
    RunReleased,
    RunReport,
    RunStarted,
    StopRun,
    UpdateScenario,
    results_commands,
    runner_commands,
)
from app.orchestrator import (
    decisions,
    dispatcher,
    footage,
    handlers,
    heartbeats,
    leases,
    outbox,
    rescuer,
    store,
    succession,
)
from app.orchestrator.announcer import announce
from app.orchestrator.dispatcher import FreeSlot
from app.orchestrator.elector import lead
from app.orchestrator.lifecycle import AssignRun, LoseRun, TellRunner, create, decide
from app.orchestrator.pruner import add_up_counts, prune
from app.orchestrator.signals import Signals
from app.orchestrator.survey import survey
from app.orchestrator.transactions import repeat
from app.postgres import Connection
from tests.torture.cancellations.registry import call
from tests.torture.cancellations.world import MEDIA, SPEC, World


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


@call(succession.create_one)
async def _create_one(world: World) -> None:
    known, spec = world.any_scenario(), encode_spec(SPEC)
    async with world.scenarios.transaction() as connection:
        await succession.create_one(
            connection, CreateScenario(uuid4(), uuid4(), spec, tags=("gate",), replaces=known)
        )


@call(footage.refuse_footage)
async def _refuse_footage(world: World) -> None:
    spec = replace(SPEC, source=f"scenario:{world.any_scenario()}")
    async with world.scenarios.connection() as connection:
        await footage.refuse_footage(connection, encode_spec(spec))


@call(succession.update)
async def _update(world: World) -> None:
    scenario_id = world.any_scenario()
    async with world.scenarios.transaction() as connection:
        scenario = await store.lock(connection, scenario_id)
        assert scenario is not None
        await succession.update(connection, scenario, UpdateScenario(uuid4(), scenario_id, str(uuid4())))


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


@call(survey)
async def _survey(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await survey(connection, 3, [runner_commands.name])


@call(dispatcher.find_work)
async def _find_work(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await dispatcher.find_work(connection)


@call(dispatcher.find_free_runners)
async def _find_free_runners(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await dispatcher.find_free_runners(connection, 3600)


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


@call(outbox.relay_batch)
async def _relay_batch(world: World) -> None:
    await world.seed_outbox()
    await outbox.relay_batch(world.scenarios, world.publish, results_commands)


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


@call(add_up_counts)
async def _add_up_counts(world: World) -> None:
    async with world.scenarios.connection() as connection:
        await add_up_counts(connection, 1)
