"""A notifier: what it sends, in which order, and how it bears with receivers that fail."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import groupby
from uuid import UUID, uuid4

import pytest
from msgspec.structs import replace

from app.notifier.queue import FreeRoom, claim
from app.postgres import Database
from tests.notifier.running import QUICK, notifying, webhook
from tests.support.deliveries import add, states, stored
from tests.support.ports import free_port
from tests.support.waiting import until
from tests.support.webhook_receiver import Answer, Received, Receiver, accept, receiver, silence, status

YARD, DOOR = UUID(int=1), UUID(int=2)


@pytest.fixture
async def hook() -> AsyncIterator[Receiver]:
    async with receiver() as running:
        yield running


async def all_sent(database: Database, channel: str = "ops") -> bool:
    return all(state == "sent" for _, state in await states(database, channel))


def order(received: list[Received]) -> dict[str, list[int]]:
    """Return the events of each scenario in the order in which they were received first."""
    found: dict[str, list[int]] = {}
    for scenario, event in dict.fromkeys(each.event for each in received):
        found.setdefault(scenario, []).append(event)
    return found


async def test_everything_is_sent_once_and_in_order_for_each_scenario(
    predictions: Database, hook: Receiver
) -> None:
    for number in range(1, 9):
        await add(predictions, YARD, 2 * number, 2 * number - 1)
        await add(predictions, DOOR, number)
    async with notifying(predictions, {"ops": webhook(hook)}):
        await until(lambda: all_sent(predictions))
    assert len({each.id for each in hook.received}) == len(hook.received) == 24
    assert order(hook.received) == {
        str(YARD): [number for pair in range(1, 9) for number in (2 * pair, 2 * pair - 1)],
        str(DOOR): list(range(1, 9)),
    }


async def test_what_is_stored_later_is_sent_soon(predictions: Database, hook: Receiver) -> None:
    async with notifying(predictions, {"ops": webhook(hook)}):
        await add(predictions, YARD, 1)
        await until(lambda: len(hook.received) == 1)
        await add(predictions, YARD, 2)
        await until(lambda: len(hook.received) == 2)


async def drip(_received: Received, writer: asyncio.StreamWriter) -> None:
    """Send a head that never ends."""
    while True:
        writer.write(b"X")
        await writer.drain()
        await asyncio.sleep(0.05)  # it drips: the pause between bytes


@pytest.mark.parametrize(
    "answer", [silence, drip, status(500), status(307, "Location: http://127.0.0.1:9/"), None]
)
async def test_a_channel_that_fails_holds_up_no_other(
    predictions: Database, hook: Receiver, answer: Answer | None
) -> None:
    """It is silent, slow, answers 500 or redirects, or nobody listens there."""
    async with receiver() as failing:
        failing.answer = answer or silence
        if answer is None:
            failing.port = free_port()
        for number in range(1, 31):
            await add(predictions, UUID(int=number), 1, channel="failing")
            await add(predictions, UUID(int=number), 1)
        timing = replace(QUICK, attempt=60.0, lease=120.0)
        async with notifying(predictions, {"failing": webhook(failing), "ops": webhook(hook)}, timing):
            await until(lambda: all_sent(predictions), timeout=30)
        if answer in (silence, drip):
            assert len(failing.received) <= 4
    assert len(hook.received) == 30
    assert {state for _, state in await states(predictions, "failing")} == {"pending"}


async def test_no_transaction_is_open_while_a_request_is(predictions: Database, hook: Receiver) -> None:
    found: list[int] = []

    async def look(received: Received, writer: asyncio.StreamWriter) -> None:
        async with predictions.connection() as connection:
            found.append(
                await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state LIKE 'idle in transaction%'"
                )
            )
        await accept(received, writer)

    hook.answer = look
    await add(predictions, YARD, 1, 2, 3)
    async with notifying(predictions, {"ops": webhook(hook)}):
        await until(lambda: all_sent(predictions))
    assert found == [0, 0, 0]


async def test_a_receiver_that_answers_500_for_an_hour_loses_nothing(
    predictions: Database, hook: Receiver
) -> None:
    """An hour takes 3.6 s here, because all backoffs are a thousandth of the defaults."""
    began = time.monotonic()

    async def fail_at_first(received: Received, writer: asyncio.StreamWriter) -> None:
        # On a busy machine, not before one of both streams has failed more than five times.
        hour_is_over = time.monotonic() - began > 3.6 and len(hook.received) > 12
        await (accept if hour_is_over else status(500))(received, writer)

    hook.answer = fail_at_first
    for number in range(1, 11):
        await add(predictions, YARD, number)
        await add(predictions, DOOR, number)
    async with notifying(predictions, {"ops": webhook(hook)}):
        await until(lambda: all_sent(predictions))
    assert order(hook.received) == {str(YARD): list(range(1, 11)), str(DOOR): list(range(1, 11))}
    assert len(hook.received) <= 20 + 100  # not one request after the other
    attempts = [row["attempts"] for row in await stored(predictions)]
    assert max(attempts) > 5


async def test_a_dead_receiver_that_comes_back_gets_everything(predictions: Database) -> None:
    async with receiver() as gone:
        port = gone.port
    await add(predictions, YARD, 1, 2)
    gone.port = port
    async with notifying(predictions, {"ops": webhook(gone)}):

        async def has_failed() -> bool:
            return bool((await stored(predictions))[0]["error"] == "the channel does not accept connections")

        await until(has_failed)
        server = await asyncio.start_server(gone.serve, "127.0.0.1", port)
        async with server:
            await until(lambda: all_sent(predictions))
    assert (await stored(predictions))[0]["error"] is None


async def test_a_receiver_that_does_not_answer_is_given_up_in_time(
    predictions: Database, hook: Receiver
) -> None:
    hook.answer = silence
    await add(predictions, YARD, 1)
    async with notifying(predictions, {"ops": webhook(hook)}, replace(QUICK, attempt=0.1)):

        async def has_failed() -> bool:
            return bool((await stored(predictions))[0]["error"] == "the channel did not answer within 0.1 s")

        await until(has_failed)
        hook.answer = accept
        await until(lambda: all_sent(predictions))


async def test_what_a_receiver_refuses_five_times_is_dead_and_holds_nothing_up(
    predictions: Database, hook: Receiver
) -> None:
    async def refuse_one(received: Received, writer: asyncio.StreamWriter) -> None:
        await (status(422) if received.event == (str(YARD), 1) else accept)(received, writer)

    hook.answer = refuse_one
    await add(predictions, YARD, 1, 2)
    await add(predictions, DOOR, 1)
    async with notifying(predictions, {"ops": webhook(hook)}):

        async def ended() -> bool:
            return {state for _, state in await states(predictions)} <= {"sent", "dead"}

        await until(ended)
    assert await states(predictions) == [(1, "dead"), (2, "sent"), (1, "sent")]
    row = (await stored(predictions))[0]
    assert (row["attempts"], row["error"]) == (5, "the channel answers with status 422")
    runs = [key for key, _ in groupby(each.event for each in hook.received if each.event[0] == str(YARD))]
    assert runs == [(str(YARD), 1), (str(YARD), 2)]


async def test_a_notifier_that_ends_releases_what_it_was_sending(
    predictions: Database, hook: Receiver
) -> None:
    hook.answer = silence
    await add(predictions, YARD, 1)
    async with notifying(predictions, {"ops": webhook(hook)}):
        await until(lambda: len(hook.received) == 1)
    async with predictions.connection() as connection:
        assert len(await claim(connection, [FreeRoom("ops", 1)], uuid4(), 30)) == 1


async def test_a_notifier_that_ends_finishes_what_it_has_begun_and_begins_nothing_else(
    predictions: Database, hook: Receiver
) -> None:
    may_answer = asyncio.Event()

    async def wait(received: Received, writer: asyncio.StreamWriter) -> None:
        await may_answer.wait()
        await accept(received, writer)

    hook.answer = wait
    await add(predictions, YARD, 1, 2)
    async with notifying(predictions, {"ops": webhook(hook)}, replace(QUICK, finish=5.0)):
        await until(lambda: len(hook.received) == 1)
        asyncio.get_running_loop().call_later(0.2, may_answer.set)
    assert await states(predictions) == [(1, "sent"), (2, "pending")]
    assert len(hook.received) == 1


async def test_two_notifiers_share_the_work_and_send_nothing_twice(
    predictions: Database, hook: Receiver
) -> None:
    for number in range(1, 41):
        await add(predictions, UUID(int=number % 8), number)
    async with notifying(predictions, {"ops": webhook(hook)}), notifying(predictions, {"ops": webhook(hook)}):
        await until(lambda: all_sent(predictions))
    assert len({each.id for each in hook.received}) == len(hook.received) == 40
    assert all(numbers == sorted(numbers) for numbers in order(hook.received).values())
