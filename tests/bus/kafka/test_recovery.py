"""Consumers and producers that fail or stall are replaced."""

import time

import msgspec
import pytest

from app.bus import BusUnavailableError
from app.bus.kafka.session import ConsumerSession
from app.messages import Topic
from tests.bus.actors import Inbox, consuming
from tests.bus.harness import READERS, Note, news, notes
from tests.bus.kafka.harness import QUICK, KafkaHarness, publish_numbers
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_consumer_that_has_silently_stopped_is_replaced(
    harness: KafkaHarness, topic: Topic, sessions: list[ConsumerSession]
) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, topic, inbox, READERS if topic.groups else None):
        await publish_numbers(harness.bus, topic, "a", range(3))
        await until(lambda: len(inbox.messages) == 3)
        sessions[0]._consumer._fetcher._fetch_task.cancel()
        await publish_numbers(harness.bus, topic, "a", range(3, 6))
        await until(lambda: len(inbox.messages) == 6)
    assert inbox.numbers("a") == list(range(6))
    assert len(sessions) == 2


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_process_that_was_frozen_past_every_time_out_goes_on(
    harness: KafkaHarness, topic: Topic
) -> None:
    inbox = Inbox()
    timeouts = msgspec.structs.replace(QUICK, session=0.5, rebalance=0.5)
    async with harness.another(timeouts=timeouts) as bus:
        bus._options["request_timeout_ms"] = 1000
        async with consuming(bus, topic, inbox, READERS if topic.groups else None):
            for number in range(4):
                await publish_numbers(harness.bus, topic, "a", [number])
                await until(lambda: number in inbox.numbers("a"))  # noqa: B023
                time.sleep(0.4 * number)  # noqa: ASYNC251 - the whole event loop stands still
    assert list(dict.fromkeys(inbox.numbers("a"))) == [0, 1, 2, 3]


async def test_a_consumer_that_never_gets_its_partitions_back_is_replaced(
    harness: KafkaHarness, sessions: list[ConsumerSession]
) -> None:
    inbox = Inbox()
    timeouts = msgspec.structs.replace(QUICK, session=0.5, rebalance=0.5)
    async with harness.another(timeouts=timeouts) as bus, consuming(bus, notes, inbox, READERS):
        await publish_numbers(harness.bus, notes, "a", [0])
        await until(lambda: inbox.messages)
        await sessions[0].begin_rebalance()
        sessions[0]._consumer._coordinator._coordination_task.cancel()
        sessions[0]._consumer._subscription.begin_reassignment()
        await publish_numbers(harness.bus, notes, "a", [1])
        await until(lambda: inbox.numbers("a") == [0, 1])
    assert len(sessions) == 2


async def test_a_consumer_that_fails_goes_on_where_it_was(
    harness: KafkaHarness, monkeypatch: pytest.MonkeyPatch, sessions: list[ConsumerSession]
) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, news, inbox):
        await publish_numbers(harness.bus, news, "a", [0])
        await until(lambda: inbox.messages)
        monkeypatch.setattr(sessions[0]._consumer, "getmany", _fail)
        await until(lambda: len(sessions) == 2)
        await publish_numbers(harness.bus, news, "a", [1])
        await until(lambda: inbox.numbers("a") == [0, 1])


async def _fail(**_: object) -> None:
    from aiokafka.errors import CorruptRecordException

    raise CorruptRecordException


async def test_a_producer_whose_numbers_have_a_gap_is_replaced(harness: KafkaHarness) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, notes, inbox, READERS):
        await publish_numbers(harness.bus, notes, "a", range(3))
        producer = harness.bus._publisher._producer
        assert producer is not None
        for partition in list(producer._txn_manager._sequence_numbers):
            producer._txn_manager.increment_sequence_number(partition, 7)
        with pytest.raises(BusUnavailableError, match="OutOfOrderSequence"):
            await harness.bus.publish(notes, Note("a", 3), "a")
        await publish_numbers(harness.bus, notes, "a", range(3, 6))
        await until(lambda: inbox.numbers("a") == list(range(6)))
