"""Topics on Kafka: partitions, prefixes, dead letters."""

import time

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from structlog.testing import capture_logs

from tests.bus.actors import FailingInbox, Inbox, consuming
from tests.bus.harness import MAX_DELIVERIES, READERS, Note, news, notes
from tests.bus.kafka.harness import PARTITIONS, KafkaHarness, publish_numbers
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)


async def test_a_key_of_each_partition_goes_to_that_partition(harness: KafkaHarness) -> None:
    for key in harness.bus.partition_keys(notes):
        await harness.bus.publish(notes, Note(key), key)
    for number, key in enumerate(harness.bus.partition_keys(notes)):
        (record,) = await harness.read(notes.name, number)
        assert record.key == key.encode()


async def test_a_topic_that_is_there_is_used_as_it_is_with_a_warning(harness: KafkaHarness) -> None:
    with capture_logs() as logs:
        async with harness.another(partitions=PARTITIONS + 1) as bus:
            assert len(bus.partition_keys(notes)) == PARTITIONS
    warned = [line for line in logs if "fewer partitions" in line["event"]]
    assert {line["topic"] for line in warned} >= {harness.prefix + notes.name}


async def test_a_message_bears_the_brokers_time_however_wrong_its_senders_is(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = time.time
    monkeypatch.setattr("time.time", lambda: clock() + 7200)
    key = harness.bus.partition_keys(notes)[0]
    await harness.bus.publish(notes, Note(key), key)
    (record,) = await harness.read(notes.name, 0)
    assert abs(record.timestamp / 1000 - clock()) < 60


async def test_services_with_other_prefixes_do_not_hear_each_other(harness: KafkaHarness) -> None:
    inbox, other = Inbox(), Inbox()
    async with (
        harness.another(prefix=f"{harness.prefix}other.", topics=[notes]) as bus,
        consuming(bus, notes, other, READERS),
        consuming(harness.bus, notes, inbox, READERS),
    ):
        await harness.bus.publish(notes, Note("a", 1), "a")
        await bus.publish(notes, Note("a", 2), "a")
        await until(lambda: inbox.messages and other.messages)
    assert (inbox.numbers("a"), other.numbers("a")) == ([1], [2])


async def test_partitions_that_are_added_are_read_too(harness: KafkaHarness) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, news, inbox):
        await publish_numbers(harness.bus, news, "a", range(3))
        await until(lambda: len(inbox.messages) == 3)
        admin = AIOKafkaAdminClient(bootstrap_servers=harness.address)
        await admin.start()
        await admin.create_partitions({harness.prefix + news.name: NewPartitions(PARTITIONS * 2)})
        await admin.close()
        async with harness.another() as bus:
            keys = bus.partition_keys(news)
            assert len(keys) == PARTITIONS * 2
            for key in keys:
                await bus.publish(news, Note(key, 9), key)
        await until(lambda: all(9 in inbox.numbers(key) for key in keys))
    assert len(inbox.messages) == 3 + len(keys)


async def test_a_dead_letter_tells_where_it_came_from(harness: KafkaHarness) -> None:
    handler = FailingInbox(*[ValueError("poison ☠")] * MAX_DELIVERIES)
    async with consuming(harness.bus, notes, handler, READERS):
        await publish_numbers(harness.bus, notes, "a", range(2))
        await until(lambda: handler.numbers("a") == [1])
    (record,) = await harness.read(f"{notes.name}.dead", 0)
    assert record.key == b"a"
    assert notes.decode(record.value) == Note("a", 0)
    headers = {name: value.decode() for name, value in record.headers}
    assert headers.pop("partition") in map(str, range(PARTITIONS))
    assert headers == {
        "error": "ValueError: poison ☠",
        "group": READERS,
        "deliveries": str(MAX_DELIVERIES),
        "topic": notes.name,
        "offset": "0",
    }
