"""The contract: cancelled consumers, and consumers without a group."""

import asyncio
from functools import partial

import pytest
from anyio import create_task_group

from app.bus import Bus
from tests.bus.actors import BlockedInbox, FailingInbox, Inbox, background, consuming, first_dead_letters
from tests.bus.harness import (
    MAX_DELIVERIES,
    READERS,
    Harness,
    Note,
    news,
    notes,
)
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(30)


# Cancellation


async def test_a_message_in_hand_of_a_cancelled_consumer_goes_to_the_next(bus: Bus) -> None:
    blocked, inbox = BlockedInbox(), Inbox()
    async with background() as tasks:
        async with consuming(bus, notes, blocked, READERS):
            for number in range(3):
                tasks.start_soon(bus.publish, notes, Note("a", number), "a")
            await until(lambda: blocked.begun)
        async with consuming(bus, notes, inbox, READERS):
            await until(lambda: inbox.numbers("a") == [0, 1, 2])
    assert blocked.messages == []


async def test_a_message_in_hand_of_a_cancelled_consumer_goes_to_one_that_is_already_there(bus: Bus) -> None:
    keys = bus.partition_keys(notes)
    blocked, inbox = BlockedInbox(), Inbox()
    async with background() as tasks, create_task_group() as first:
        await first.start(partial(bus.consume, notes, blocked, group=READERS))
        for key in keys:
            tasks.start_soon(bus.publish, notes, Note(key), key)
        await until(lambda: len(blocked.begun) == len(keys))
        async with consuming(bus, notes, inbox, READERS):
            first.cancel_scope.cancel()
            await until(lambda: {note.key for note in inbox.messages if isinstance(note, Note)} == set(keys))
    assert blocked.messages == []


async def test_cancelled_consumers_do_not_count_as_deliveries(bus: Bus) -> None:
    inbox = Inbox()
    async with background() as tasks:
        tasks.start_soon(bus.publish, notes, Note("a"), "a")
        for _ in range(MAX_DELIVERIES + 1):
            blocked = BlockedInbox()
            async with consuming(bus, notes, blocked, READERS):
                await until(lambda: blocked.begun)  # noqa: B023
        async with consuming(bus, notes, inbox, READERS):
            await until(lambda: inbox.messages == [Note("a")])


async def test_a_consumer_cancelled_between_two_tries_loses_nothing(bus: Bus, harness: Harness) -> None:
    failing, inbox = FailingInbox(*[ValueError("not yet")] * 100), Inbox()

    async def kept() -> object:
        return inbox.messages or await harness.dead_letters(notes)

    async with background() as tasks:
        async with consuming(bus, notes, failing, READERS):
            tasks.start_soon(bus.publish, notes, Note("a"), "a")
            await until(lambda: failing.calls)
        async with consuming(bus, notes, inbox, READERS):
            await until(kept)


async def test_a_cancelled_error_of_a_handlers_own_making_stops_no_consumer(
    bus: Bus, harness: Harness
) -> None:
    handler = FailingInbox(*[asyncio.CancelledError()] * MAX_DELIVERIES)
    async with consuming(bus, notes, handler, READERS):
        for number in range(20):
            await bus.publish(notes, Note("a", number), "a")
        await until(lambda: handler.numbers("a") == list(range(1, 20)))
        (letter,) = await first_dead_letters(harness, notes)
    assert letter.error.startswith("CancelledError")


# Consumers without a group


async def test_a_consumer_without_a_group_reads_from_the_moment_it_is_ready(bus: Bus) -> None:
    inbox = Inbox()
    await bus.publish(news, Note("a", 0), "a")
    async with consuming(bus, news, inbox):
        for number in range(1, 4):
            await bus.publish(news, Note("a", number), "a")
        await until(lambda: len(inbox.messages) == 3)
    assert inbox.numbers("a") == [1, 2, 3]


async def test_a_consumer_without_a_group_that_comes_back_has_missed_what_came_between(bus: Bus) -> None:
    inbox = Inbox()
    async with consuming(bus, news, inbox):
        await bus.publish(news, Note("a", 0), "a")
        await until(lambda: inbox.messages)
    await bus.publish(news, Note("a", 1), "a")
    async with consuming(bus, news, inbox):
        await bus.publish(news, Note("a", 2), "a")
        await until(lambda: len(inbox.messages) == 2)
    assert inbox.numbers("a") == [0, 2]


async def test_every_consumer_without_a_group_gets_every_message(bus: Bus) -> None:
    one, two = Inbox(), Inbox()
    keys = bus.partition_keys(news)
    async with consuming(bus, news, one), consuming(bus, news, two):
        for key in keys:
            await bus.publish(news, Note(key), key)
        await until(lambda: len(one.messages) == len(two.messages) == len(keys))


async def test_a_consumer_without_a_group_listens_beside_the_groups_of_a_topic(bus: Bus) -> None:
    member, listener = Inbox(), Inbox()
    async with consuming(bus, notes, member, READERS), consuming(bus, notes, listener):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: member.messages == listener.messages == [Note("a")])


async def test_a_consumer_without_a_group_retries_and_gives_up_like_any_other(
    bus: Bus, harness: Harness
) -> None:
    handler = FailingInbox(OSError("down"), *[ValueError("poison")] * MAX_DELIVERIES)
    async with consuming(bus, news, handler):
        for number in range(3):
            await bus.publish(news, Note("a", number), "a")
        await until(lambda: handler.numbers("a") == [1, 2])
        (letter,) = await first_dead_letters(harness, news)
    assert letter.group is None
    assert letter.error == "ValueError: poison"
