"""The contract: what `publish` promises."""

import anyio
import pytest

from app.bus import Bus, BusUnavailableError
from app.messages import TOPICS, DropResults, Message, Topic
from tests.bus.actors import Inbox, background, consuming
from tests.bus.harness import (
    AUDITORS,
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


# Messages


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


# Durability


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


# Handlers do not publish


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


# Closing


async def test_a_closed_bus_refuses_publishers_and_consumers(harness: Harness) -> None:
    closed = harness.bus
    await harness.reopen()
    with pytest.raises(BusUnavailableError):
        await closed.publish(notes, Note("a"), "a")
    with pytest.raises(BusUnavailableError):
        await closed.consume(notes, Inbox(), group=READERS)
