"""The in-memory bus: what it promises in addition to the contract."""

from collections.abc import AsyncGenerator

import anyio
import pytest
from anyio import create_task_group, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint

from app.bus import BusUnavailableError
from app.bus.delivery import RetryPolicy
from app.bus.memory import MemoryBus, open_memory_bus
from app.messages import Message, Topic
from tests.bus.actors import BlockedInbox, FailingInbox, Inbox, background, consuming
from tests.bus.harness import AUDITORS, READERS, Note, ledger, news, notes
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
async def bus() -> AsyncGenerator[MemoryBus, None]:
    async with open_memory_bus(RetryPolicy(max_deliveries=2, first_retry=0.001, longest_retry=0.002)) as bus:
        yield bus


class NumberingPublisher:
    """Publishes numbered notes with one key, and counts the calls of `publish` that returned."""

    def __init__(self, bus: MemoryBus, topic: Topic, key: str = "a") -> None:
        self._bus, self._topic, self._key = bus, topic, key
        self.published = 0
        self.refused = False

    async def __call__(self, count: int = 1) -> None:
        try:
            for number in range(count):
                await self._bus.publish(self._topic, Note(self._key, number), self._key)
                self.published += 1
        except BusUnavailableError:
            self.refused = True


async def test_publish_returns_once_every_groups_handler_is_done(bus: MemoryBus) -> None:
    readers, auditors = BlockedInbox(), BlockedInbox()
    publisher = NumberingPublisher(bus, ledger)
    async with background() as tasks, consuming(bus, ledger, readers, READERS):
        tasks.start_soon(publisher)
        await until(lambda: readers.begun)
        readers.unblocked.set()
        await until(lambda: readers.messages)
        await wait_all_tasks_blocked()
        assert publisher.published == 0, "a group that has not subscribed was not waited for"
        async with consuming(bus, ledger, auditors, AUDITORS):
            await until(lambda: auditors.begun)
            await wait_all_tasks_blocked()
            assert publisher.published == 0, "a handler was still at work"
            auditors.unblocked.set()
            await until(lambda: publisher.published == 1)


async def test_publish_returns_when_the_message_became_a_dead_letter(bus: MemoryBus) -> None:
    async with consuming(bus, notes, FailingInbox(*[ValueError("poison")] * 2), READERS):
        await bus.publish(notes, Note("a"), "a")
    assert len(bus.dead_letters(notes)) == 1


async def test_publish_without_any_consumer_returns_at_once(bus: MemoryBus) -> None:
    await bus.publish(news, Note("a"), "a")


async def test_closing_makes_waiting_publishers_fail() -> None:
    async with create_task_group() as tasks:
        async with open_memory_bus() as bus:
            unsubscribed = NumberingPublisher(bus, notes)
            tasks.start_soon(unsubscribed)
            async with consuming(bus, news, BlockedInbox()):
                full = NumberingPublisher(bus, news)
                tasks.start_soon(full, 10_000)
                await wait_all_tasks_blocked()
                bus.close()
                await until(lambda: full.refused)
        await until(lambda: unsubscribed.refused)
    assert unsubscribed.published == 0


async def test_a_consumer_without_a_group_makes_the_publisher_wait_when_its_queue_is_full() -> None:
    blocked = BlockedInbox()
    async with open_memory_bus(partitions=2, queue_size=10) as bus:
        busy, free = bus.partition_keys(news)
        publisher, other = NumberingPublisher(bus, news, busy), NumberingPublisher(bus, news, free)
        async with background() as tasks, consuming(bus, news, blocked):
            tasks.start_soon(publisher, 100)
            await wait_all_tasks_blocked()
            assert publisher.published == 5, "half of the queue belongs to this partition"
            tasks.start_soon(other, 5)
            await until(lambda: other.published == 5)
            blocked.unblocked.set()
            await until(lambda: publisher.published == 100)
        assert blocked.numbers(busy) == list(range(len(blocked.numbers(busy))))


async def test_each_message_handled_makes_room_for_one_more() -> None:
    allowed = anyio.Semaphore(0)

    async def handle(_: Message) -> None:
        await allowed.acquire()

    async with open_memory_bus(partitions=1, queue_size=5) as bus:
        publisher = NumberingPublisher(bus, news)
        async with background() as tasks, consuming(bus, news, handle):
            tasks.start_soon(publisher, 100)
            for published in range(5, 10):
                await until(lambda: publisher.published == published)  # noqa: B023
                await wait_all_tasks_blocked()
                assert publisher.published == published
                allowed.release()


async def test_a_consumer_without_a_group_that_ends_releases_its_publishers(bus: MemoryBus) -> None:
    publisher = NumberingPublisher(bus, news)
    async with background() as tasks:
        async with consuming(bus, news, BlockedInbox()):
            tasks.start_soon(publisher, 1000)
            await wait_all_tasks_blocked()
            assert publisher.published < 1000
        await until(lambda: publisher.published == 1000)


async def test_a_message_whose_publisher_gave_up_is_not_kept(bus: MemoryBus) -> None:
    for number in range(100):
        with anyio.move_on_after(0):
            await bus.publish(notes, Note("a", number), "a")
    inbox = Inbox()
    async with consuming(bus, notes, inbox, READERS):
        await bus.publish(notes, Note("a", 100), "a")
    assert inbox.numbers("a") == [100]


async def test_a_message_being_handled_is_finished_although_its_publisher_gave_up(bus: MemoryBus) -> None:
    blocked = BlockedInbox()
    async with consuming(bus, notes, blocked, READERS):
        async with background() as tasks:
            tasks.start_soon(bus.publish, notes, Note("a", 0), "a")
            await until(lambda: blocked.begun)
        blocked.unblocked.set()
        await bus.publish(notes, Note("a", 1), "a")
    assert blocked.numbers("a") == [0, 1]


async def test_a_group_of_several_consumers_handles_a_message_exactly_once(bus: MemoryBus) -> None:
    one, two = Inbox(), Inbox()
    async with (
        consuming(bus, notes, one, READERS),
        consuming(bus, notes, two, READERS),
        create_task_group() as publishers,
    ):
        for key in "abcdefgh":
            publishers.start_soon(NumberingPublisher(bus, notes, key), 50)
    assert len(one.messages) + len(two.messages) == 400
    assert one.messages
    assert two.messages


async def test_only_the_newest_dead_letters_are_kept() -> None:
    async def refuse(message: Message) -> None:
        raise ValueError(message)

    async with open_memory_bus(RetryPolicy(max_deliveries=1), dead_letter_limit=3) as bus:
        async with consuming(bus, notes, refuse, READERS):
            for number in range(5):
                await bus.publish(notes, Note("a", number), "a")
        kept = [notes.decode(letter.data) for letter in bus.dead_letters(notes)]
    assert kept == [Note("a", 2), Note("a", 3), Note("a", 4)]


@pytest.mark.parametrize("topic", [notes, news], ids=["group", "no group"])
async def test_a_busy_publisher_lets_other_tasks_run(bus: MemoryBus, topic: Topic) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    publisher = NumberingPublisher(bus, topic)
    handler = Inbox()
    async with background() as tasks, consuming(bus, topic, handler, READERS if topic.groups else None):
        tasks.start_soon(count_turns)
        await publisher(1000)
    assert turns >= 1000
