"""The contract: retries and dead letters."""

import pytest
from structlog.testing import capture_logs

from app.bus import Bus
from app.messages import Message
from tests.bus.actors import FailingInbox, Inbox, background, consuming, first_dead_letters
from tests.bus.harness import (
    AUDITORS,
    MAX_DELIVERIES,
    QUEUE_SIZE,
    READERS,
    Harness,
    Note,
    ledger,
    notes,
)
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(30)


# Retries


async def test_a_handler_that_raises_sees_its_message_again(bus: Bus) -> None:
    handler = FailingInbox(ValueError("once"))
    async with consuming(bus, notes, handler, READERS):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: handler.messages == [Note("a")])
    assert handler.calls == 2


async def test_later_messages_of_the_key_wait_for_a_failing_one(bus: Bus) -> None:
    handler = FailingInbox(*[OSError("down")] * 4)
    async with background() as tasks, consuming(bus, notes, handler, READERS):
        for number in range(5):
            tasks.start_soon(bus.publish, notes, Note("a", number), "a")
        await until(lambda: len(handler.messages) == 5)
    assert handler.numbers("a") == [0, 1, 2, 3, 4]
    assert handler.calls == 5


async def test_other_keys_flow_on_beside_a_failing_message(bus: Bus) -> None:
    bad, *good = bus.partition_keys(notes)
    inbox = Inbox()
    tries = 0

    async def handle(message: Message) -> None:
        nonlocal tries
        assert isinstance(message, Note)
        if message.key == bad:
            tries += 1
            raise OSError("always")
        await inbox(message)

    async with background() as tasks, consuming(bus, notes, handle, READERS):
        tasks.start_soon(bus.publish, notes, Note(bad), bad)
        await until(lambda: tries)
        for key in good:
            await bus.publish(notes, Note(key), key)
        await until(lambda: len(inbox.messages) == len(good))
        before = tries
        await until(lambda: tries > before)


# Retries without limit


@pytest.mark.parametrize(
    "error",
    [OSError("host"), ConnectionResetError("peer"), TimeoutError("late")],
    ids=lambda e: type(e).__name__,
)
async def test_transient_errors_are_retried_past_the_limit(
    bus: Bus, harness: Harness, error: Exception
) -> None:
    handler = FailingInbox(*[error] * (MAX_DELIVERIES * 3))
    async with consuming(bus, notes, handler, READERS):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: handler.messages == [Note("a")])
    assert await harness.dead_letters(notes) == ()


async def test_transient_errors_do_not_count_as_deliveries(bus: Bus, harness: Harness) -> None:
    own = [ValueError("mine")] * (MAX_DELIVERIES - 1)
    handler = FailingInbox(OSError("a"), *own, *[TimeoutError("b")] * MAX_DELIVERIES)
    async with consuming(bus, notes, handler, READERS):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: handler.messages == [Note("a")])
    assert await harness.dead_letters(notes) == ()


# Dead letters


async def test_a_message_that_keeps_failing_becomes_a_dead_letter(bus: Bus, harness: Harness) -> None:
    handler = FailingInbox(*[ValueError("poison")] * (MAX_DELIVERIES + 1))
    async with background() as tasks, consuming(bus, notes, handler, READERS):
        for number in range(3):
            tasks.start_soon(bus.publish, notes, Note("a", number), "a")
        await until(lambda: handler.numbers("a") == [1, 2])
        (letter,) = await first_dead_letters(harness, notes)
    assert handler.calls == MAX_DELIVERIES
    assert letter.error == "ValueError: poison"
    assert letter.topic == notes.name
    assert letter.group == READERS
    assert letter.key == "a"
    assert letter.deliveries == MAX_DELIVERIES
    assert notes.decode(letter.data) == Note("a", 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not json",
        b'{"type":"Note","key":',
        b'{"type":"Note","key":7}',
        b'{"type":"Unheard","key":"a"}',
        b'{"type":"Note","key":"\xff"}',
        b'{"type":"Note","key":"a","extra":' + b"[" * 100_000,
    ],
    ids=["empty", "no json", "cut off", "wrong field", "unknown type", "no utf-8", "too deep"],
)
async def test_bytes_that_are_no_message_become_a_dead_letter(
    bus: Bus, harness: Harness, data: bytes
) -> None:
    inbox = Inbox()
    async with consuming(bus, notes, inbox, READERS):
        await harness.publish_raw(notes, data, "a")
        await bus.publish(notes, Note("a", 1), "a")
        await until(lambda: inbox.messages == [Note("a", 1)])
        (letter,) = await first_dead_letters(harness, notes)
    assert letter.data == data
    assert letter.error


async def test_a_dead_letter_of_one_group_is_no_loss_to_another(bus: Bus, harness: Harness) -> None:
    poisoned, well = FailingInbox(*[ValueError("poison")] * MAX_DELIVERIES), Inbox()
    async with consuming(bus, ledger, poisoned, READERS), consuming(bus, ledger, well, AUDITORS):
        await bus.publish(ledger, Note("a"), "a")
        await until(lambda: well.messages == [Note("a")])
        (letter,) = await first_dead_letters(harness, ledger)
    assert letter.group == READERS


async def test_who_can_write_fills_a_topic_and_the_others_flow_on(bus: Bus, harness: Harness) -> None:
    """Nothing refuses what a stranger adds, and all of it is kept (SECURITY.md)."""
    inbox = Inbox()
    filling = [b"not json %d" % number for number in range(2 * QUEUE_SIZE)]

    async def kept() -> bool:
        return len(await harness.dead_letters(notes)) == len(filling)

    with capture_logs() as logs:
        async with consuming(bus, notes, inbox, READERS):
            for data in filling:
                await harness.publish_raw(notes, data, "a")
            await bus.publish(notes, Note("a", 1), "a")
            await until(lambda: inbox.messages == [Note("a", 1)])
            await until(kept)
    assert [letter.data for letter in await harness.dead_letters(notes)] == filling
    assert len(logs) >= len(filling)
