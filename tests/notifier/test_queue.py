"""Claims of deliveries: by one notifier at a time, in order, and not of what is deleted."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from anyio import create_task_group

from app.notifier import queue
from app.notifier.queue import Claimed, FreeRoom
from app.postgres import Database
from app.runner.cleanup.purge import leave_tombstone
from tests.support.deliveries import add, states, stored
from tests.support.waiting import until

YARD, DOOR = UUID(int=1), UUID(int=2)


async def claim(
    database: Database, *free: FreeRoom, seconds: float = 30.0, lease: UUID | None = None
) -> list[Claimed]:
    async with database.connection() as connection:
        return await queue.claim(connection, free or [FreeRoom("ops", 10)], lease or uuid4(), seconds)


def events(claimed: Sequence[Claimed]) -> list[tuple[UUID, int | None]]:
    return sorted((each.scenario_id, each.event_id) for each in claimed)


async def test_of_each_scenario_and_channel_only_the_oldest_is_claimed(predictions: Database) -> None:
    await add(predictions, YARD, 3, 4)
    await add(predictions, DOOR, 1)
    await add(predictions, YARD, 3, channel="home")
    await add(predictions, YARD, 3, channel="unknown")
    claimed = await claim(predictions, FreeRoom("ops", 10), FreeRoom("home", 10))
    assert events(claimed) == [(YARD, 3), (YARD, 3), (DOOR, 1)]
    assert {each.channel for each in claimed} == {"ops", "home"}
    assert claimed[0].told.event is not None
    assert await claim(predictions, FreeRoom("ops", 10), FreeRoom("home", 10)) == []


async def test_the_order_is_that_of_storing_and_not_of_numbers(predictions: Database) -> None:
    await add(predictions, YARD, 9)
    await add(predictions, YARD, 2)
    (first,) = await claim(predictions)
    async with predictions.connection() as connection:
        await queue.mark_sent(connection, first)
    (second,) = await claim(predictions)
    assert (first.event_id, second.event_id) == (9, 2)


async def test_a_channel_gets_no_more_than_it_has_room_for(predictions: Database) -> None:
    for number in range(1, 9):
        await add(predictions, UUID(int=number), 1)
        await add(predictions, UUID(int=number), 1, channel="home")
    claimed = await claim(predictions, FreeRoom("ops", 3), FreeRoom("home", 1))
    assert sorted(each.channel for each in claimed) == ["home", "ops", "ops", "ops"]


async def test_two_notifiers_never_claim_the_same(predictions: Database) -> None:
    for number in range(1, 41):
        await add(predictions, UUID(int=number), 1)
    found: list[Claimed] = []

    async def claim_all() -> None:
        while claimed := await claim(predictions, FreeRoom("ops", 3)):
            found.extend(claimed)

    async with create_task_group() as group:
        for _ in range(4):
            group.start_soon(claim_all)
    assert len(found) == len({each.id for each in found}) == 40


async def test_a_lease_that_ends_is_taken_over_and_its_late_result_is_ignored(predictions: Database) -> None:
    await add(predictions, YARD, 1)
    (first,) = await claim(predictions, seconds=0.05)
    (second,) = await until(lambda: claim(predictions))
    assert (first.attempt, second.attempt) == (1, 2)
    async with predictions.connection() as connection:
        await queue.mark_failed(connection, first, "the channel is late", 0)
        await queue.mark_dead(connection, first, "the channel is late")
        await queue.release(connection, first)
    (row,) = await stored(predictions)
    assert (row["state"], row["lease"]) == ("pending", second.lease)


async def test_a_failed_delivery_waits_and_holds_back_only_its_own_scenario(predictions: Database) -> None:
    await add(predictions, YARD, 1, 2)
    await add(predictions, DOOR, 1)
    claimed = {each.scenario_id: each for each in await claim(predictions)}
    async with predictions.connection() as connection:
        await queue.mark_failed(connection, claimed[YARD], "the channel answers with status 500", 3600)
        await queue.mark_sent(connection, claimed[DOOR])
    assert await claim(predictions) == []
    assert await states(predictions) == [(1, "pending"), (2, "pending"), (1, "sent")]
    assert (await stored(predictions))[0]["error"] == "the channel answers with status 500"


async def test_what_is_given_up_lets_the_next_one_pass(predictions: Database) -> None:
    await add(predictions, YARD, 1, 2)
    (first,) = await claim(predictions)
    async with predictions.connection() as connection:
        await queue.mark_dead(connection, first, "the channel answers with status 400")
    assert events(await claim(predictions)) == [(YARD, 2)]


async def test_a_released_delivery_can_be_claimed_at_once(predictions: Database) -> None:
    await add(predictions, YARD, 1)
    (claimed,) = await claim(predictions)
    async with predictions.connection() as connection:
        await queue.release(connection, claimed)
    assert events(await claim(predictions)) == [(YARD, 1)]


async def test_nothing_of_a_deleted_scenario_is_claimed(predictions: Database) -> None:
    await add(predictions, YARD, 1)
    await add(predictions, DOOR, 1)
    async with predictions.connection() as connection:
        await leave_tombstone(connection, YARD)
    assert events(await claim(predictions)) == [(DOOR, 1)]
