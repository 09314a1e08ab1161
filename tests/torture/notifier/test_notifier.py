"""A notifier that is killed again and again: everything arrives, in order, and repeated only with its id."""

import random
import subprocess
import sys
from uuid import UUID

import pytest
from anyio import sleep

from app.postgres import Database
from tests.support.deliveries import add, states
from tests.support.paths import ROOT
from tests.support.waiting import until
from tests.support.webhook_receiver import Receiver, receiver
from tests.torture.battery import Battery, size

ROW = 19
KILLS = size(10, 100)
DELIVERIES = size(500, 10_000)
SCENARIOS = size(10, 50)


def start(dsn: str, url: str, unguarded: str = "") -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.torture.notifier.process", dsn, url, unguarded]
    return subprocess.Popen(command, cwd=ROOT)


async def received(hook: Receiver, number: int) -> None:
    await until(lambda: len(hook.received) >= number, timeout=60)


async def kill_among(
    database: Database, dsn: str, hook: Receiver, kills: int, deliveries: int, unguarded: str = ""
) -> None:
    """Kill a notifier after random numbers of messages; return when nothing is pending any more."""
    chance = random.Random(14)
    of_each = deliveries // SCENARIOS
    for number in range(1, SCENARIOS + 1):
        await add(database, UUID(int=number), *range(1, of_each + 1))
    share = deliveries // (kills + 1)
    for _ in range(kills):
        process = start(dsn, hook.url, unguarded)
        try:
            await received(hook, len(hook.received) + chance.randrange(1, max(2, share)))
            await sleep(chance.random() * 0.01)  # so that any step may be the last
        finally:
            process.kill()
            process.wait()
    process = start(dsn, hook.url)
    try:

        async def all_ended() -> bool:
            return all(state == "sent" for _, state in await states(database))

        await until(all_ended, timeout=60 + deliveries / 50, poll=0.5)
    finally:
        process.kill()
        process.wait()


def lost_and_disordered(hook: Receiver, deliveries: int) -> tuple[int, int]:
    """Return how many messages never arrived, and how many arrived before one that they follow."""
    first = list(dict.fromkeys(each.event for each in hook.received))
    assert len({each.id for each in hook.received}) == len(first)  # an event has one id, however often sent
    highest: dict[str, int] = {}
    disordered = 0
    for scenario, event in first:
        disordered += event < highest.get(scenario, 0)
        highest[scenario] = max(event, highest.get(scenario, 0))
    return deliveries - len(first), disordered


@pytest.mark.timeout(size(240, 3600))
async def test_each_message_arrives_in_order_whoever_is_killed(
    predictions: Database, predictions_dsn: str, battery: Battery
) -> None:
    async with receiver() as hook:
        await kill_among(predictions, predictions_dsn, hook, KILLS, DELIVERIES)
        lost, disordered = lost_and_disordered(hook, DELIVERIES)
    repeated = len(hook.received) - len({each.id for each in hook.received})
    battery.passed(
        ROW,
        "a notifier killed among its deliveries",
        f"{KILLS} kills, {DELIVERIES:,} deliveries of {SCENARIOS} scenarios",
        f"{lost} lost, {disordered} out of order, {repeated} sent twice with the same id",
    )
    assert (lost, disordered) == (0, 0)
    assert repeated <= 4 * KILLS


@pytest.mark.timeout(240)
async def test_without_leases_messages_are_lost(
    predictions: Database, predictions_dsn: str, battery: Battery
) -> None:
    async with receiver() as hook:
        await kill_among(predictions, predictions_dsn, hook, 10, 500, "lease")
        lost, _ = lost_and_disordered(hook, 500)
    battery.unguarded(ROW, "leases, which end", "10 kills, 500 deliveries", f"{lost} lost")
    assert lost > 0
