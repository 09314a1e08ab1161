"""The delivery contract of `app.bus`, sentence by sentence, on every backend."""

import asyncio
from collections.abc import Sequence
from functools import partial

import anyio
import pytest
from anyio import create_task_group

from app.bus import Bus, BusUnavailableError
from app.bus.delivery import DeadLetter
from app.messages import TOPICS, DropResults, Message, Topic
from tests.bus.actors import Faulty, Gate, Inbox, background, consuming
from tests.bus.harness import (
    AUDITORS,
    MAX_DELIVERIES,
    QUEUE_SIZE,
    READERS,
    Harness,
    Note,
    ledger,
    news,
    notes,
)
from tests.bus.samples import ID, SAMPLES
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(30)


async def _dead(harness: Harness, topic: Topic) -> Sequence[DeadLetter]:
    async def letters() -> Sequence[DeadLetter]:
        return await harness.dead_letters(topic)

    dead: Sequence[DeadLetter] = await until(letters)
    return dead


# What arrives


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
async def test_every_message_of_the_product_arrives_as_it_was_sent(bus: Bus, topic: Topic) -> None:
    sent = SAMPLES[topic]
    assert {type(message) for message in sent} == set(topic.messages), "a kind of message has no sample"
    inbox = Inbox()
    async with consuming(bus, topic, inbox, topic.groups[0] if topic.groups else None):
        for message in sent:
            await bus.publish(topic, message, "key")
        await until(lambda: len(inbox.messages) == len(sent))
    assert inbox.messages == list(sent)
    assert all(got is not message for got, message in zip(inbox.messages, sent, strict=True))


async def test_a_message_of_another_topic_is_refused(bus: Bus) -> None:
    with pytest.raises(TypeError, match="DropResults does not belong on test_notes"):
        await bus.publish(notes, DropResults(scenario_id=ID), "key")


async def test_a_group_that_the_topic_does_not_declare_is_refused(bus: Bus) -> None:
    with pytest.raises(ValueError, match="nobody"):
        await bus.consume(notes, Inbox(), group="nobody")


# "publish returns once the message can no longer be lost"


async def test_what_was_published_is_handled_though_the_bus_closes_right_after(harness: Harness) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, notes, inbox, READERS):
        for number in range(10):
            await harness.bus.publish(notes, Note("a", number), "a")
    await harness.reopen()
    async with consuming(harness.bus, notes, inbox, READERS):
        await until(lambda: set(inbox.numbers("a")) == set(range(10)))


async def test_a_message_waits_for_a_group_that_has_not_subscribed_yet(bus: Bus) -> None:
    early, late = Inbox(), Inbox()
    async with background() as tasks, consuming(bus, ledger, early, READERS):
        tasks.start_soon(bus.publish, ledger, Note("a"), "a")
        await until(lambda: early.messages)
        async with consuming(bus, ledger, late, AUDITORS):
            await until(lambda: late.messages)


async def test_every_declared_group_gets_every_message(bus: Bus) -> None:
    readers, auditors = Inbox(), Inbox()
    async with consuming(bus, ledger, readers, READERS), consuming(bus, ledger, auditors, AUDITORS):
        for number in range(20):
            await bus.publish(ledger, Note("a", number), "a")
        await until(lambda: len(readers.messages) == len(auditors.messages) == 20)
    assert readers.numbers("a") == auditors.numbers("a") == list(range(20))


async def test_a_cancelled_publish_blocks_nobody(bus: Bus) -> None:
    with anyio.move_on_after(0.05):
        await bus.publish(notes, Note("a", 0), "a")
    inbox = Inbox()
    async with consuming(bus, notes, inbox, READERS):
        await bus.publish(notes, Note("a", 1), "a")
        await until(lambda: 1 in inbox.numbers("a"))


# "in order per key"


async def test_messages_of_a_key_keep_their_order_among_many_publishers(bus: Bus) -> None:
    keys = [f"key-{number}" for number in range(10)]
    inbox = Inbox()

    async def publish_all(key: str) -> None:
        for number in range(30):
            await bus.publish(notes, Note(key, number), key)

    async with consuming(bus, notes, inbox, READERS):
        async with create_task_group() as publishers:
            for key in keys:
                publishers.start_soon(publish_all, key)
        await until(lambda: len(inbox.messages) == 300)
    for key in keys:
        assert inbox.numbers(key) == list(range(30))


async def test_consumers_of_a_group_share_its_messages_and_keep_the_order_per_key(bus: Bus) -> None:
    seen = Inbox()
    at_work: set[str] = set()

    async def handle(message: Message) -> None:
        assert isinstance(message, Note)
        assert message.key not in at_work, "two messages of one key at once"
        at_work.add(message.key)
        await anyio.lowlevel.checkpoint()
        at_work.remove(message.key)
        await seen(message)

    keys = bus.partition_keys(notes)
    async with (
        consuming(bus, notes, handle, READERS),
        consuming(bus, notes, handle, READERS),
        create_task_group() as publishers,
    ):
        for number in range(20):
            for key in keys:
                publishers.start_soon(bus.publish, notes, Note(key, number), key)
        await until(lambda: all(len(set(seen.numbers(key))) == 20 for key in keys))
    for key in keys:
        first_seen = list(dict.fromkeys(seen.numbers(key)))  # at least once: a hand-over may repeat some
        assert first_seen == list(range(20))


async def test_each_partition_key_reaches_a_partition_of_its_own(bus: Bus) -> None:
    keys = bus.partition_keys(notes)
    assert len(set(keys)) == len(keys) > 1
    gate = Gate()
    async with background() as tasks, consuming(bus, notes, gate, READERS):
        for key in keys:
            tasks.start_soon(bus.publish, notes, Note(key), key)
        await until(lambda: len(gate.begun) == len(keys))  # all at once: none waits behind another
        gate.opened.set()
        await until(lambda: len(gate.messages) == len(keys))


# "a handler that raises sees its message again"


async def test_a_handler_that_raises_sees_its_message_again(bus: Bus) -> None:
    handler = Faulty(ValueError("once"))
    async with consuming(bus, notes, handler, READERS):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: handler.messages == [Note("a")])
    assert handler.calls == 2


async def test_later_messages_of_the_key_wait_for_a_failing_one(bus: Bus) -> None:
    handler = Faulty(*[OSError("down")] * 4)
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


# "connection errors and time-outs are retried for ever"


@pytest.mark.parametrize(
    "error",
    [OSError("host"), ConnectionResetError("peer"), TimeoutError("late")],
    ids=lambda e: type(e).__name__,
)
async def test_transient_errors_are_retried_past_the_limit(
    bus: Bus, harness: Harness, error: Exception
) -> None:
    handler = Faulty(*[error] * (MAX_DELIVERIES * 3))
    async with consuming(bus, notes, handler, READERS):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: handler.messages == [Note("a")])
    assert await harness.dead_letters(notes) == ()


async def test_transient_errors_do_not_count_as_deliveries(bus: Bus, harness: Harness) -> None:
    own = [ValueError("mine")] * (MAX_DELIVERIES - 1)
    handler = Faulty(OSError("a"), *own, *[TimeoutError("b")] * MAX_DELIVERIES)
    async with consuming(bus, notes, handler, READERS):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: handler.messages == [Note("a")])
    assert await harness.dead_letters(notes) == ()


# "becomes a dead letter; the rest flows on"


async def test_a_message_that_keeps_failing_becomes_a_dead_letter(bus: Bus, harness: Harness) -> None:
    handler = Faulty(*[ValueError("poison")] * (MAX_DELIVERIES + 1))
    async with background() as tasks, consuming(bus, notes, handler, READERS):
        for number in range(3):
            tasks.start_soon(bus.publish, notes, Note("a", number), "a")
        await until(lambda: handler.numbers("a") == [1, 2])
        (letter,) = await _dead(harness, notes)
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
        (letter,) = await _dead(harness, notes)
    assert letter.data == data
    assert letter.error


async def test_a_dead_letter_of_one_group_is_no_loss_to_another(bus: Bus, harness: Harness) -> None:
    poisoned, well = Faulty(*[ValueError("poison")] * MAX_DELIVERIES), Inbox()
    async with consuming(bus, ledger, poisoned, READERS), consuming(bus, ledger, well, AUDITORS):
        await bus.publish(ledger, Note("a"), "a")
        await until(lambda: well.messages == [Note("a")])
        (letter,) = await _dead(harness, ledger)
    assert letter.group == READERS


# "a cancelled consumer loses nothing"


async def test_a_message_in_hand_of_a_cancelled_consumer_goes_to_the_next(bus: Bus) -> None:
    gate, inbox = Gate(), Inbox()
    async with background() as tasks:
        async with consuming(bus, notes, gate, READERS):
            for number in range(3):
                tasks.start_soon(bus.publish, notes, Note("a", number), "a")
            await until(lambda: gate.begun)
        async with consuming(bus, notes, inbox, READERS):
            await until(lambda: inbox.numbers("a") == [0, 1, 2])
    assert gate.messages == []


async def test_a_message_in_hand_of_a_cancelled_consumer_goes_to_one_that_is_already_there(bus: Bus) -> None:
    keys = bus.partition_keys(notes)
    gate, inbox = Gate(), Inbox()
    async with background() as tasks, create_task_group() as first:
        await first.start(partial(bus.consume, notes, gate, group=READERS))
        for key in keys:
            tasks.start_soon(bus.publish, notes, Note(key), key)
        await until(lambda: len(gate.begun) == len(keys))
        async with consuming(bus, notes, inbox, READERS):
            first.cancel_scope.cancel()
            await until(lambda: {note.key for note in inbox.messages if isinstance(note, Note)} == set(keys))
    assert gate.messages == []


async def test_cancelled_consumers_do_not_count_as_deliveries(bus: Bus) -> None:
    inbox = Inbox()
    async with background() as tasks:
        tasks.start_soon(bus.publish, notes, Note("a"), "a")
        for _ in range(MAX_DELIVERIES + 1):
            gate = Gate()
            async with consuming(bus, notes, gate, READERS):
                await until(lambda: gate.begun)  # noqa: B023
        async with consuming(bus, notes, inbox, READERS):
            await until(lambda: inbox.messages == [Note("a")])


async def test_a_consumer_cancelled_between_two_tries_loses_nothing(bus: Bus, harness: Harness) -> None:
    failing, inbox = Faulty(*[ValueError("not yet")] * 100), Inbox()

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
    handler = Faulty(*[asyncio.CancelledError()] * MAX_DELIVERIES)
    async with consuming(bus, notes, handler, READERS):
        for number in range(20):
            await bus.publish(notes, Note("a", number), "a")
        await until(lambda: handler.numbers("a") == list(range(1, 20)))
        (letter,) = await _dead(harness, notes)
    assert letter.error.startswith("CancelledError")


# "a handler never publishes"


async def test_a_handler_that_publishes_gets_an_error(bus: Bus) -> None:
    errors: list[RuntimeError] = []

    async def handle(_: Message) -> None:
        try:
            await bus.publish(news, Note("a"), "a")
        except RuntimeError as error:
            errors.append(error)

    async with consuming(bus, notes, handle, READERS):
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: errors)
    assert "handler" in str(errors[0])


async def test_a_task_that_a_handler_started_may_publish(bus: Bus) -> None:
    inbox = Inbox()
    async with background() as tasks:

        async def handle(_: Message) -> None:
            tasks.start_soon(bus.publish, news, Note("b"), "b")

        async with consuming(bus, news, inbox), consuming(bus, notes, handle, READERS):
            await bus.publish(notes, Note("a"), "a")
            await until(lambda: inbox.messages == [Note("b")])


# "bounded"


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_consumer_that_lags_far_behind_loses_nothing(bus: Bus, topic: Topic) -> None:
    count = QUEUE_SIZE * 3
    gate = Gate()
    async with background() as tasks, consuming(bus, topic, gate, READERS if topic.groups else None):

        async def publish_all() -> None:
            for number in range(count):
                await bus.publish(topic, Note("a", number), "a")

        tasks.start_soon(publish_all)
        await until(lambda: gate.begun)
        gate.opened.set()
        await until(lambda: len(gate.messages) == count)
    assert gate.numbers("a") == list(range(count))


# "a consumer without a group reads every message from now on"


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
    handler = Faulty(OSError("down"), *[ValueError("poison")] * MAX_DELIVERIES)
    async with consuming(bus, news, handler):
        for number in range(3):
            await bus.publish(news, Note("a", number), "a")
        await until(lambda: handler.numbers("a") == [1, 2])
        (letter,) = await _dead(harness, news)
    assert letter.group is None
    assert letter.error == "ValueError: poison"


# "a bus that was closed"


async def test_a_closed_bus_refuses_publishers_and_consumers(harness: Harness) -> None:
    closed = harness.bus
    await harness.reopen()
    with pytest.raises(BusUnavailableError):
        await closed.publish(notes, Note("a"), "a")
    with pytest.raises(BusUnavailableError):
        await closed.consume(notes, Inbox(), group=READERS)
