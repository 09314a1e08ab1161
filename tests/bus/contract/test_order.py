"""The contract: order, partitions and bounded memory."""

import anyio
import pytest
from anyio import create_task_group

from app.bus import Bus
from app.messages import Message, Topic
from tests.bus.actors import BlockedInbox, Inbox, background, consuming
from tests.bus.harness import (
    QUEUE_SIZE,
    READERS,
    Note,
    news,
    notes,
)
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(30)


# Order per key


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
    blocked = BlockedInbox()
    async with background() as tasks, consuming(bus, notes, blocked, READERS):
        for key in keys:
            tasks.start_soon(bus.publish, notes, Note(key), key)
        await until(lambda: len(blocked.begun) == len(keys))  # all at once: none waits behind another
        blocked.unblocked.set()
        await until(lambda: len(blocked.messages) == len(keys))


# Bounded memory


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_consumer_that_lags_far_behind_loses_nothing(bus: Bus, topic: Topic) -> None:
    count = QUEUE_SIZE * 3
    blocked = BlockedInbox()
    async with background() as tasks, consuming(bus, topic, blocked, READERS if topic.groups else None):

        async def publish_all() -> None:
            for number in range(count):
                await bus.publish(topic, Note("a", number), "a")

        tasks.start_soon(publish_all)
        await until(lambda: blocked.begun)
        blocked.unblocked.set()
        await until(lambda: len(blocked.messages) == count)
    assert blocked.numbers("a") == list(range(count))
