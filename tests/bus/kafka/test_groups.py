"""Groups on Kafka: offsets, members that join, leave and die, and paused partitions."""

from functools import partial

import msgspec
import pytest
from anyio import create_task_group

from app.bus.kafka import partition_workers
from app.bus.kafka.session import ConsumerSession
from app.messages import Topic
from tests.bus.actors import BlockedInbox, Inbox, background, consuming
from tests.bus.harness import READERS, Note, news, notes
from tests.bus.kafka.harness import PARTITIONS, QUICK, KafkaHarness, publish_numbers
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)


async def test_what_was_handled_is_not_handled_again_after_a_clean_end(harness: KafkaHarness) -> None:
    keys = harness.bus.partition_keys(notes)
    first, second = Inbox(), Inbox()
    async with consuming(harness.bus, notes, first, READERS):
        for key in keys:
            await publish_numbers(harness.bus, notes, key, range(5))
        await until(lambda: len(first.messages) == 5 * len(keys))
    await harness.reopen()
    async with consuming(harness.bus, notes, second, READERS):
        for key in keys:
            await publish_numbers(harness.bus, notes, key, [5])
        await until(lambda: len(second.messages) == len(keys))
    assert all(second.numbers(key) == [5] for key in keys)


async def test_a_member_that_joins_gets_partitions_and_nothing_is_handled_twice(
    harness: KafkaHarness,
) -> None:
    keys = harness.bus.partition_keys(notes)
    one, two = Inbox(), Inbox()
    async with consuming(harness.bus, notes, one, READERS), harness.another() as bus:
        for key in keys:
            await publish_numbers(harness.bus, notes, key, range(20))
        await until(lambda: one.messages)
        async with consuming(bus, notes, two, READERS):
            number = 20
            while len({note.key for note in two.messages if isinstance(note, Note)}) < len(keys) / 2:
                for key in keys:
                    await publish_numbers(harness.bus, notes, key, [number])
                number += 1
            await until(lambda: len(one.messages) + len(two.messages) >= number * len(keys))
    for key in keys:
        assert sorted(one.numbers(key) + two.numbers(key)) == list(range(number))


async def test_a_member_that_dies_hands_its_partitions_on(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave(_: object) -> None:
        """Tell the group nothing, like a process that was killed."""

    keys = harness.bus.partition_keys(notes)
    blocked, inbox = BlockedInbox(), Inbox()
    async with background() as tasks:
        async with consuming(harness.bus, notes, blocked, READERS):
            for key in keys:
                tasks.start_soon(partial(publish_numbers, harness.bus, notes, key, range(3)))
            await until(lambda: len(blocked.begun) == len(keys))
            monkeypatch.setattr(
                "aiokafka.consumer.group_coordinator.GroupCoordinator._maybe_leave_group", leave
            )
        async with consuming(harness.bus, notes, inbox, READERS):
            await until(lambda: len(inbox.messages) == 3 * len(keys))
    assert all(inbox.numbers(key) == [0, 1, 2] for key in keys)


async def test_a_handler_slower_than_the_sessions_time_out_keeps_its_partition(
    harness: KafkaHarness,
) -> None:
    blocked = BlockedInbox()
    timeouts = msgspec.structs.replace(QUICK, session=0.6)
    async with harness.another(timeouts=timeouts) as bus, consuming(bus, notes, blocked, READERS):
        await bus.publish(notes, Note("a", 0), "a")
        await until(lambda: blocked.begun)
        with pytest.raises(AssertionError):
            await until(lambda: len(blocked.begun) > 1, timeout=1.5)
        blocked.unblocked.set()
        await bus.publish(notes, Note("a", 1), "a")
        await until(lambda: blocked.numbers("a") == [0, 1])


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_partition_with_much_in_hand_is_paused_and_goes_on(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch, topic: Topic, sessions: list[ConsumerSession]
) -> None:
    monkeypatch.setattr(partition_workers, "_PAUSE_AT", 20)
    monkeypatch.setattr(partition_workers, "_RESUME_AT", 10)
    blocked = BlockedInbox()
    async with consuming(harness.bus, topic, blocked, READERS if topic.groups else None):
        async with create_task_group() as publishers:
            for key in harness.bus.partition_keys(topic):
                publishers.start_soon(partial(publish_numbers, harness.bus, topic, key, range(100)))
        await until(lambda: len(sessions[-1]._consumer.paused()) == PARTITIONS)
        blocked.unblocked.set()
        await until(lambda: len(blocked.messages) == 100 * PARTITIONS)
    assert all(blocked.numbers(key) == list(range(100)) for key in harness.bus.partition_keys(topic))
    assert len(sessions) == 1, "a paused partition was taken for a stalled one"
