"""Nine faults of sources: each is noticed in time, takes nothing with it, and costs its neighbours nothing.

Once each over every kind of source where it makes sense, six sources a fault; 120 a fault at full length.
All of them are read by one service at once, beside neighbours that work. What is found out is read from the
databases' rows and the system's own figures of the process; what the sources sent, from the sources.
"""

import sys
from collections import defaultdict
from functools import partial
from pathlib import Path
from statistics import median

import pytest
from anyio import create_task_group, move_on_after, sleep

from tests.support.waiting import until
from tests.torture.battery import LONG, Battery, size
from tests.torture.sources.cameras import Fault
from tests.torture.sources.trial import CONNECTED, IN_TIME, trial
from tests.torture.sources.verifier import Trouble

ROUNDS = size(1, 20)

# Where the machine is busy with other tests, these are no figures of the service.
LATEST, MOST_LOSS = (IN_TIME, 0.05) if LONG else (2 * IN_TIME, 0.25)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@pytest.mark.timeout(size(300, 1800))
async def test_faults_are_noticed_and_cost_neighbours_nothing(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    troubles: list[Trouble] = []
    async with trial(tmp_path, (scenarios_dsn, predictions_dsn)) as here:
        neighbours = await here.neighbours()
        threads = here.threads()
        # Before anything goes wrong, all sources work: that is what threads and memory come back to.
        working = [each for each in here.cameras.troubles(healed=True) if each.server is not None]
        async with create_task_group() as group:
            for trouble in working:
                group.start_soon(here.begin, trouble)
        await sleep(size(5, 15))
        await here.end_all(working)
        await here.reclaimed(threads)
        resident = here.memory()
        left: list[int] = []
        grown: list[float] = []
        before = await neighbours.count()
        for _ in range(ROUNDS):
            batch = here.cameras.troubles()
            troubles += batch
            async with create_task_group() as group:
                for trouble in batch:
                    group.start_soon(here.suffer, trouble)
            await here.end_all(batch)
            left.append(await here.reclaimed(threads))
            grown.append(here.memory() - resident)
        loss = neighbours.loss(before, await neighbours.count())
    delays: dict[Fault, list[float]] = defaultdict(list)
    for trouble in troubles:
        if trouble.noticed is not None and trouble.onset is not None:
            delays[trouble.fault].append(trouble.noticed - trouble.onset)
    unnoticed = [str(each) for each in troubles if each.noticed is None]
    late = [
        str(each) for each in troubles if each.noticed and each.onset and each.noticed - each.onset > LATEST
    ]
    ill = [str(each) for each in troubles if not each.well_again]
    for fault, found in delays.items():
        print(f"{fault}: median {median(found):.1f} s, at most {max(found):.1f} s")
    print(f"threads left {left}, memory grown {[round(each) for each in grown]} MiB, loss {loss:.1%}")
    battery.passed(
        7,
        "source faults",
        f"{len(Fault)} faults × {len(troubles) // len(Fault)}, {len(working)} sources at once",
        f"{len(unnoticed)} unnoticed, {len(late)} late; at most {max(map(max, delays.values())):.1f} s;"
        f" {max(left)} threads left, {grown[-1]:+.0f} MiB; neighbours {max(loss, 0):.1%} of their frames",
    )
    assert unnoticed == []
    assert late == []
    assert ill == []
    assert max(left) == 0
    assert max(grown) < 100
    assert loss <= MOST_LOSS


@pytest.mark.long
@pytest.mark.timeout(size(180, 180))
async def test_without_deadlines_faults_go_unnoticed_and_threads_are_left(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    app = "tests.torture.sources.unguarded:endless_reads"
    async with trial(tmp_path, (scenarios_dsn, predictions_dsn), app) as here:
        threads = here.threads()
        troubles = [here.cameras.trouble(kind, Fault.STALL) for kind in CONNECTED]
        async with create_task_group() as group:
            for trouble in troubles:
                group.start_soon(here.begin, trouble)
        for trouble in troubles:
            await until(lambda: trouble.onset, timeout=60, poll=0.1)  # noqa: B023 - awaited at once
        with move_on_after(IN_TIME):
            for trouble in troubles:
                await until(partial(here.verifier.look, trouble), timeout=60, poll=0.1)
        unnoticed = sum(trouble.noticed is None for trouble in troubles)
        await here.end_all(troubles)
        left = await here.reclaimed(threads)
        here.service.kill()  # its threads would not let it end
    battery.unguarded(
        7,
        "read deadlines",
        f"{Fault.STALL} over {len(troubles)} kinds of source",
        f"{unnoticed} unnoticed after {IN_TIME:.0f} s, {left} threads left",
    )
    assert unnoticed >= 4
    assert left >= 4
