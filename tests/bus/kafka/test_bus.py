"""What the bus on Kafka promises beyond the contract."""

import time
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from anyio import create_task_group
from structlog.testing import capture_logs

from app.bus import BusError, BusUnavailableError
from app.bus.kafka import partitions as kafka_lanes
from app.bus.kafka.bus import KafkaSecurity, open_kafka_bus
from app.bus.kafka.session import Session
from app.messages import Topic
from tests.bus.actors import Faulty, Gate, Inbox, background, consuming
from tests.bus.harness import MAX_DELIVERIES, READERS, Note, news, notes
from tests.bus.kafka.harness import PARTITIONS, QUICK, KafkaHarness
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def harness(kafka: str) -> AsyncGenerator[KafkaHarness, None]:
    harness = KafkaHarness(kafka)
    await harness.open()
    yield harness
    await harness.close()


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that consumers began, oldest first."""
    begun: list[Session] = []

    class Noted(Session):
        async def run(self, ready: object) -> None:
            begun.append(self)
            await super().run(ready)  # type: ignore[arg-type]

    monkeypatch.setattr("app.bus.kafka.bus.Session", Noted)
    return begun


async def _publish_all(harness: KafkaHarness, topic: Topic, key: str, numbers: Sequence[int]) -> None:
    for number in numbers:
        await harness.bus.publish(topic, Note(key, number), key)


# Topics


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
        await _publish_all(harness, news, "a", range(3))
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


# Offsets


async def test_what_was_handled_is_not_handled_again_after_a_clean_end(harness: KafkaHarness) -> None:
    keys = harness.bus.partition_keys(notes)
    first, second = Inbox(), Inbox()
    async with consuming(harness.bus, notes, first, READERS):
        for key in keys:
            await _publish_all(harness, notes, key, range(5))
        await until(lambda: len(first.messages) == 5 * len(keys))
    await harness.reopen()
    async with consuming(harness.bus, notes, second, READERS):
        for key in keys:
            await _publish_all(harness, notes, key, [5])
        await until(lambda: len(second.messages) == len(keys))
    assert all(second.numbers(key) == [5] for key in keys)


async def test_a_member_that_joins_gets_partitions_and_nothing_is_handled_twice(
    harness: KafkaHarness,
) -> None:
    keys = harness.bus.partition_keys(notes)
    one, two = Inbox(), Inbox()
    async with consuming(harness.bus, notes, one, READERS), harness.another() as bus:
        for key in keys:
            await _publish_all(harness, notes, key, range(20))
        await until(lambda: one.messages)
        async with consuming(bus, notes, two, READERS):
            number = 20
            while len({note.key for note in two.messages if isinstance(note, Note)}) < len(keys) / 2:
                for key in keys:
                    await _publish_all(harness, notes, key, [number])
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
    gate, inbox = Gate(), Inbox()
    async with background() as tasks:
        async with consuming(harness.bus, notes, gate, READERS):
            for key in keys:
                tasks.start_soon(partial(_publish_all, harness, notes, key, range(3)))
            await until(lambda: len(gate.begun) == len(keys))
            monkeypatch.setattr(
                "aiokafka.consumer.group_coordinator.GroupCoordinator._maybe_leave_group", leave
            )
        async with consuming(harness.bus, notes, inbox, READERS):
            await until(lambda: len(inbox.messages) == 3 * len(keys))
    assert all(inbox.numbers(key) == [0, 1, 2] for key in keys)


async def test_a_handler_slower_than_the_sessions_time_out_keeps_its_partition(
    harness: KafkaHarness,
) -> None:
    gate = Gate()
    timing = msgspec.structs.replace(QUICK, session=0.6)
    async with harness.another(timing=timing) as bus, consuming(bus, notes, gate, READERS):
        await bus.publish(notes, Note("a", 0), "a")
        await until(lambda: gate.begun)
        with pytest.raises(AssertionError):
            await until(lambda: len(gate.begun) > 1, timeout=1.5)
        gate.opened.set()
        await bus.publish(notes, Note("a", 1), "a")
        await until(lambda: gate.numbers("a") == [0, 1])


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_partition_with_much_in_hand_is_paused_and_goes_on(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch, topic: Topic, sessions: list[Session]
) -> None:
    monkeypatch.setattr(kafka_lanes, "MANY", 20)
    monkeypatch.setattr(kafka_lanes, "_FEW", 10)
    gate = Gate()
    async with consuming(harness.bus, topic, gate, READERS if topic.groups else None):
        async with create_task_group() as publishers:
            for key in harness.bus.partition_keys(topic):
                publishers.start_soon(partial(_publish_all, harness, topic, key, range(100)))
        await until(lambda: len(sessions[-1]._consumer.paused()) == PARTITIONS)
        gate.opened.set()
        await until(lambda: len(gate.messages) == 100 * PARTITIONS)
    assert all(gate.numbers(key) == list(range(100)) for key in harness.bus.partition_keys(topic))
    assert len(sessions) == 1, "a paused partition was taken for a stalled one"


# Dead letters


async def test_a_dead_letter_tells_where_it_came_from(harness: KafkaHarness) -> None:
    handler = Faulty(*[ValueError("poison ☠")] * MAX_DELIVERIES)
    async with consuming(harness.bus, notes, handler, READERS):
        await _publish_all(harness, notes, "a", range(2))
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


# Faults of the client library


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_consumer_that_has_silently_stopped_is_replaced(
    harness: KafkaHarness, topic: Topic, sessions: list[Session]
) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, topic, inbox, READERS if topic.groups else None):
        await _publish_all(harness, topic, "a", range(3))
        await until(lambda: len(inbox.messages) == 3)
        sessions[0]._consumer._fetcher._fetch_task.cancel()
        await _publish_all(harness, topic, "a", range(3, 6))
        await until(lambda: len(inbox.messages) == 6)
    assert inbox.numbers("a") == list(range(6))
    assert len(sessions) == 2


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_process_that_was_frozen_past_every_time_out_goes_on(
    harness: KafkaHarness, topic: Topic
) -> None:
    inbox = Inbox()
    timing = msgspec.structs.replace(QUICK, session=0.5, rebalance=0.5)
    async with harness.another(timing=timing) as bus:
        bus._options["request_timeout_ms"] = 1000
        async with consuming(bus, topic, inbox, READERS if topic.groups else None):
            for number in range(4):
                await _publish_all(harness, topic, "a", [number])
                await until(lambda: number in inbox.numbers("a"))  # noqa: B023
                time.sleep(0.4 * number)  # noqa: ASYNC251 - the whole event loop stands still
    assert list(dict.fromkeys(inbox.numbers("a"))) == [0, 1, 2, 3]


async def test_a_consumer_that_never_gets_its_partitions_back_is_replaced(
    harness: KafkaHarness, sessions: list[Session]
) -> None:
    inbox = Inbox()
    timing = msgspec.structs.replace(QUICK, session=0.5, rebalance=0.5)
    async with harness.another(timing=timing) as bus, consuming(bus, notes, inbox, READERS):
        await _publish_all(harness, notes, "a", [0])
        await until(lambda: inbox.messages)
        await sessions[0].rebalance(done=False)
        sessions[0]._consumer._coordinator._coordination_task.cancel()
        sessions[0]._consumer._subscription.begin_reassignment()
        await _publish_all(harness, notes, "a", [1])
        await until(lambda: inbox.numbers("a") == [0, 1])
    assert len(sessions) == 2


async def test_a_consumer_that_fails_goes_on_where_it_was(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch, sessions: list[Session]
) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, news, inbox):
        await _publish_all(harness, news, "a", [0])
        await until(lambda: inbox.messages)
        monkeypatch.setattr(sessions[0]._consumer, "getmany", _fail)
        await until(lambda: len(sessions) == 2)
        await _publish_all(harness, news, "a", [1])
        await until(lambda: inbox.numbers("a") == [0, 1])


async def _fail(**_: object) -> None:
    from aiokafka.errors import CorruptRecordException

    raise CorruptRecordException


async def test_a_producer_whose_numbers_have_a_gap_is_replaced(harness: KafkaHarness) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, notes, inbox, READERS):
        await _publish_all(harness, notes, "a", range(3))
        producer = harness.bus._publisher._producer
        assert producer is not None
        for partition in list(producer._txn_manager._sequence_numbers):
            producer._txn_manager.increment_sequence_number(partition, 7)
        with pytest.raises(BusUnavailableError, match="OutOfOrderSequence"):
            await harness.bus.publish(notes, Note("a", 3), "a")
        await _publish_all(harness, notes, "a", range(3, 6))
        await until(lambda: inbox.numbers("a") == list(range(6)))


# Starting


async def test_a_session_shorter_than_brokers_take_ends_the_consumer_with_one_line(
    harness: KafkaHarness,
) -> None:
    timing = msgspec.structs.replace(QUICK, session=0.1)
    async with harness.another(timing=timing) as bus:
        with pytest.raises(BusError) as caught:
            await bus.consume(notes, Inbox(), group=READERS)
    assert str(caught.value).startswith("Kafka refuses the consumer of test_notes: [Error 26]")


async def test_a_broker_that_does_not_answer_is_waited_for_and_then_named(free_address: str) -> None:
    with capture_logs() as logs, pytest.raises(BusError) as caught:
        async with open_kafka_bus([free_address], patience=0.5):
            pass
    assert str(caught.value).startswith(f"no Kafka broker answers at {free_address}: ")
    assert "\n" not in str(caught.value)
    assert {line["event"] for line in logs} == {"waiting for Kafka"}


async def test_a_broker_among_several_is_enough(kafka: str, free_address: str) -> None:
    async with open_kafka_bus([free_address, kafka], topics=[], patience=0):
        pass


async def test_more_copies_than_brokers_are_refused_in_one_line(harness: KafkaHarness) -> None:
    with pytest.raises(BusError, match=r"^Kafka cannot make the topic .*notes: .*replication.*$"):
        async with harness.another(prefix=f"{harness.prefix}copies.", topics=[notes], replication=3):
            pass


async def test_a_broker_without_passwords_refuses_one_in_one_line(kafka: str) -> None:
    security = KafkaSecurity(protocol="SASL_PLAINTEXT", username="va", password="secret")
    with pytest.raises(BusError) as caught:
        async with open_kafka_bus([kafka], security=security):
            pass
    assert str(caught.value).startswith(f"Kafka at {kafka} cannot be used: its brokers ask for no password")
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_certificate_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("none")
    security = KafkaSecurity(protocol="SSL", ca_file=str(file))
    with pytest.raises(BusError, match=r"^the certificate or key for Kafka cannot be used: .+$"):
        async with open_kafka_bus(["kafka:9092"], security=security):
            pass
