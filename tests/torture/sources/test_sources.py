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
from tests.torture.sources.verifier import FaultCase

ROUNDS = size(1, 20)

# If the machine is busy with other tests, these are no figures of the service.
LATEST, MOST_LOSS = (IN_TIME, 0.05) if LONG else (2 * IN_TIME, 0.25)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


@pytest.mark.timeout(size(300, 1800))
async def test_faults_are_noticed_and_cost_neighbours_nothing(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    cases: list[FaultCase] = []
    async with trial(tmp_path, (scenarios_dsn, predictions_dsn)) as here:
        neighbours = await here.neighbours()
        threads = here.threads()
        # At first all sources work: threads and memory must return to what they are then.
        working = [each for each in here.cameras.make_cases(is_repaired=True) if each.server is not None]
        async with create_task_group() as group:
            for case in working:
                group.start_soon(here.begin, case)
        await sleep(size(5, 15))
        await here.end_all(working)
        await here.reclaimed(threads)
        resident = here.memory()
        left: list[int] = []
        grown: list[float] = []
        before = await neighbours.count()
        for _ in range(ROUNDS):
            batch = here.cameras.make_cases()
            cases += batch
            async with create_task_group() as group:
                for case in batch:
                    group.start_soon(here.run_case, case)
            await here.end_all(batch)
            left.append(await here.reclaimed(threads))
            grown.append(here.memory() - resident)
        loss = neighbours.loss(before, await neighbours.count())
    delays: dict[Fault, list[float]] = defaultdict(list)
    for case in cases:
        if case.noticed is not None and case.onset is not None:
            delays[case.fault].append(case.noticed - case.onset)
    unnoticed = [str(each) for each in cases if each.noticed is None]
    late = [str(each) for each in cases if each.noticed and each.onset and each.noticed - each.onset > LATEST]
    not_recovered = [str(each) for each in cases if not each.has_recovered]
    for fault, found in delays.items():
        print(f"{fault}: median {median(found):.1f} s, at most {max(found):.1f} s")
    print(f"threads left {left}, memory grown {[round(each) for each in grown]} MiB, loss {loss:.1%}")
    battery.passed(
        7,
        "source faults",
        f"{len(Fault)} faults × {len(cases) // len(Fault)}, {len(working)} sources at once",
        f"{len(unnoticed)} unnoticed, {len(late)} late; at most {max(map(max, delays.values())):.1f} s;"
        f" {max(left)} threads left, {grown[-1]:+.0f} MiB; neighbours {max(loss, 0):.1%} of their frames",
    )
    assert unnoticed == []
    assert late == []
    assert not_recovered == []
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
        cases = [here.cameras.make_case(kind, Fault.STALL) for kind in CONNECTED]
        async with create_task_group() as group:
            for case in cases:
                group.start_soon(here.begin, case)
        for case in cases:
            await until(lambda: case.onset, timeout=60, poll=0.1)  # noqa: B023 - awaited at once
        with move_on_after(IN_TIME):
            for case in cases:
                await until(partial(here.verifier.look, case), timeout=60, poll=0.1)
        unnoticed = sum(case.noticed is None for case in cases)
        await here.end_all(cases)
        left = await here.reclaimed(threads)
        here.service.kill()  # its threads would not let it end
    battery.unguarded(
        7,
        "read deadlines",
        f"{Fault.STALL} over {len(cases)} kinds of source",
        f"{unnoticed} unnoticed after {IN_TIME:.0f} s, {left} threads left",
    )
    assert unnoticed >= 4
    assert left >= 4
