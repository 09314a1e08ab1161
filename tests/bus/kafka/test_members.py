"""Ten thousand messages while members join, leave and die every few seconds."""

import random
import time

import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from anyio import CancelScope, create_task_group, sleep

from app.bus import Bus
from app.bus.kafka.offsets import Offsets
from app.bus.kafka.session import ConsumerTimeouts
from app.messages import Message
from tests.bus.harness import READERS, Note, notes
from tests.bus.kafka.harness import KafkaHarness

KEYS, EACH = 40, 250
SECONDS = 12.0
BETWEEN_CHANGES = 2


class Ledger:
    """What was handled, by key, and the longest time without a handled message."""

    def __init__(self) -> None:
        self.effects: dict[str, list[int]] = {f"key-{number}": [] for number in range(KEYS)}
        self.repeated = 0
        self.longest_pause = 0.0
        self._last = time.monotonic()

    async def handle(self, message: Message) -> None:
        assert isinstance(message, Note)
        await sleep(random.uniform(0, 0.01))  # it may be cancelled here, before its effect
        effects = self.effects[message.key]
        if message.number in effects:
            self.repeated += 1
        else:
            effects.append(message.number)
        now = time.monotonic()
        self.longest_pause = max(self.longest_pause, now - self._last)
        self._last = now

    @property
    def count(self) -> int:
        return sum(map(len, self.effects.values()))


async def _publish(bus: Bus, key: str) -> None:
    for number in range(EACH):
        await bus.publish(notes, Note(key, number), key)
        await sleep(SECONDS / EACH)


@pytest.mark.timeout(180)
async def test_each_of_ten_thousand_messages_has_its_effect_once_while_members_come_and_go(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, leave = Offsets.commit_last, GroupCoordinator._maybe_leave_group
    killed = False  # whether the next member ends without telling the brokers

    async def commit_or_not(offsets: Offsets, timeout: float) -> None:
        if not killed:
            await commit(offsets, timeout)

    async def leave_or_not(member: GroupCoordinator) -> None:
        nonlocal killed
        if not killed:
            await leave(member)
        killed = False

    monkeypatch.setattr(Offsets, "commit_last", commit_or_not)
    monkeypatch.setattr(GroupCoordinator, "_maybe_leave_group", leave_or_not)
    harness = KafkaHarness(kafka, topics=[notes], timeouts=ConsumerTimeouts(), partitions=8)
    ledger = Ledger()
    changes = 0
    async with harness.another() as one, harness.another() as two, create_task_group() as tasks:
        alive: list[CancelScope] = []

        async def join() -> None:
            scope = CancelScope()
            alive.append(scope)
            with scope:
                await random.choice((one, two)).consume(notes, ledger.handle, group=READERS)

        tasks.start_soon(join)
        for key in ledger.effects:
            tasks.start_soon(_publish, one, key)
        while ledger.count < KEYS * EACH:
            await sleep(BETWEEN_CHANGES)
            changes += 1
            if len(alive) < 2 or (len(alive) < 4 and random.random() < 0.5):
                tasks.start_soon(join)
            else:
                killed = random.random() < 0.5
                alive.pop(random.randrange(len(alive))).cancel()
        killed = False
        tasks.cancel_scope.cancel()
    print(f"{changes} changes, {ledger.repeated} repeated, longest pause {ledger.longest_pause:.1f} s")
    assert changes >= SECONDS / BETWEEN_CHANGES - 1
    assert all(numbers == list(range(EACH)) for numbers in ledger.effects.values())
    assert ledger.longest_pause < 30
