"""The bus while its broker is killed or frozen: no message is lost, order is kept, every wait ends."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial

import pytest
from anyio import create_task_group, sleep

from app.bus import Bus, BusUnavailableError
from app.messages import Topic
from tests.bus.actors import Inbox, background, consuming
from tests.bus.harness import READERS, TEST_TOPICS, Note, news, notes
from tests.bus.kafka.harness import KafkaHarness
from tests.support.kafka import LocalBroker
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def harness(own_broker: LocalBroker) -> AsyncGenerator[KafkaHarness, None]:
    harness = KafkaHarness(own_broker.address, topics=TEST_TOPICS, publish_timeout=1.0)
    await harness.open()
    yield harness
    await harness.close()


class Outage:
    """Kills the broker and restarts it with its data, or freezes and thaws it."""

    def __init__(self, broker: LocalBroker, kind: str) -> None:
        self._broker = broker
        self._kind = kind
        self.over = True

    def begin(self) -> None:
        self.over = False
        if self._kind == "killed":
            self._broker.kill()
        else:
            self._broker.freeze()

    async def end(self) -> None:
        if self._kind == "frozen":
            self._broker.thaw()
        elif not self.over:
            self._broker.spawn()
            await until(self._broker.answers, timeout=30)
        self.over = True


@pytest.fixture
async def outage(own_broker: LocalBroker, request: pytest.FixtureRequest) -> AsyncGenerator[Outage, None]:
    outage = Outage(own_broker, request.param)
    yield outage
    await outage.end()


killed_or_frozen = pytest.mark.parametrize("outage", ["killed", "frozen"], indirect=True)
killed = pytest.mark.parametrize("outage", ["killed"], indirect=True)
frozen = pytest.mark.parametrize("outage", ["frozen"], indirect=True)


class Source:
    """Publishes numbered notes with one key to two topics, and repeats each until it is accepted."""

    def __init__(self, bus: Bus, key: str) -> None:
        self._bus = bus
        self.key = key
        self.published = 0
        self.refused = 0

    async def run(self) -> None:
        while True:
            for topic in (notes, news):
                await self._insist(topic, Note(self.key, self.published))
            self.published += 1
            await sleep(0.01)

    async def _insist(self, topic: Topic, note: Note) -> None:
        while True:
            try:
                return await self._bus.publish(topic, note, self.key)
            except BusUnavailableError:
                self.refused += 1
                await sleep(0.1)


def _once_each(inbox: Inbox, key: str) -> list[int]:
    return list(dict.fromkeys(inbox.numbers(key)))


def _complete(inbox: Inbox, sources: list[Source]) -> Callable[[], bool]:
    return lambda: all(len(_once_each(inbox, source.key)) >= source.published for source in sources)


@killed_or_frozen
async def test_an_outage_loses_nothing_and_keeps_the_order(harness: KafkaHarness, outage: Outage) -> None:
    sources = [Source(harness.bus, key) for key in harness.bus.partition_keys(notes)]
    members, tail = Inbox(), Inbox()
    async with (
        harness.another() as other,
        consuming(harness.bus, notes, members, READERS),
        consuming(other, notes, members, READERS),
        consuming(other, news, tail),
    ):
        async with background() as tasks:
            for source in sources:
                tasks.start_soon(source.run)
            await until(lambda: len(members.messages) > 50)
            outage.begin()
            await until(lambda: all(source.refused for source in sources), timeout=20)
            published = [source.published for source in sources]
            await outage.end()
            await until(lambda: all(s.published > n for s, n in zip(sources, published, strict=True)), 30)
        for inbox in (members, tail):
            await until(_complete(inbox, sources), timeout=30)
            for source in sources:
                # One more may have come of the publish that was cancelled in the end.
                numbers = _once_each(inbox, source.key)
                assert numbers == list(range(len(numbers)))


@frozen
async def test_a_publisher_is_refused_in_time_and_its_message_may_come_yet(
    harness: KafkaHarness, outage: Outage
) -> None:
    inbox = Inbox()
    async with consuming(harness.bus, notes, inbox, READERS):
        await harness.bus.publish(notes, Note("a", 0), "a")
        outage.begin()
        began = time.monotonic()
        with pytest.raises(BusUnavailableError, match=r"not acknowledged the message within 1 s"):
            await harness.bus.publish(notes, Note("a", 1), "a")
        assert time.monotonic() - began < 10
        await outage.end()
        await until(lambda: inbox.numbers("a") == [0, 1])


@killed
async def test_a_consumer_that_begins_in_an_outage_is_ready_after_it(
    harness: KafkaHarness, outage: Outage
) -> None:
    inbox = Inbox()
    async with create_task_group() as tasks:
        outage.begin()
        ready: list[bool] = []

        async def start() -> None:
            await tasks.start(partial(harness.bus.consume, news, inbox))
            ready.append(True)

        tasks.start_soon(start)
        await sleep(0.5)
        assert not ready
        await outage.end()
        await until(lambda: ready, timeout=30)
        await harness.bus.publish(news, Note("a"), "a")
        await until(lambda: inbox.messages)
        tasks.cancel_scope.cancel()


@frozen
async def test_a_bus_closes_in_time_though_no_broker_answers(harness: KafkaHarness, outage: Outage) -> None:
    inbox = Inbox()
    before = asyncio.all_tasks()
    async with create_task_group() as tasks, harness.another() as bus:
        start: Callable[..., Awaitable[object]] = tasks.start
        await start(partial(bus.consume, notes, inbox, group=READERS))
        await start(partial(bus.consume, news, inbox))
        await bus.publish(notes, Note("a"), "a")
        await until(lambda: inbox.messages)
        outage.begin()
        source = Source(bus, "a")
        tasks.start_soon(source.run)
        await until(lambda: source.refused)
        began = time.monotonic()
        tasks.cancel_scope.cancel()
    assert time.monotonic() - began < 20
    # aiokafka's own tasks too: a leak would grow with every reconnect.
    await until(lambda: asyncio.all_tasks() <= before | {asyncio.current_task()})
