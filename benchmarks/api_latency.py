"""GET latency while four 720p scenarios run, compared with the same service when idle.

Both get the same requests: for a scenario that has ended, 100 per second. A running scenario, whose answer
needs both databases, is requested too. The scenarios process every frame with the `motion` detector.
Percentiles are over all requests of all rounds.
"""

import time
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory

import anyio

from benchmarks.table import Row, at_most, command
from tests.support.clips import marker_clip
from tests.support.service import ServiceProcess, running

REQUESTS = 1000  # per turn
SCENARIOS = 4
SIZE = (1280, 720)
_APART = 0.01


async def ask(service: ServiceProcess, scenario_id: str) -> list[float]:
    """Return the milliseconds of each of REQUESTS requests."""
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        answer = await service.http.get(f"/scenarios/{scenario_id}")
        took = time.perf_counter() - began
        times.append(took * 1000)
        assert answer.status_code == 200
        await anyio.sleep(max(0.0, _APART - took))
    return times


async def measure(rounds: int) -> list[Row]:
    """Alternate between an idle and a busy service."""
    rest: list[float] = []
    work: list[float] = []
    running_one: list[float] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        marker_clip(folder / "clip.mp4", frames=3600, size=SIZE)
        async with running(folder, media_root=folder) as service:
            first = await service.create("test:testsrc2?duration=1", {"type": "mock"})
            await service.ends(first)
            for _ in range(rounds):
                rest += await ask(service, first)
                busy = [
                    await service.create("clip.mp4", {"type": "motion"}, sampling={"mode": "all"})
                    for _ in range(SCENARIOS)
                ]
                for scenario_id in busy:
                    await service.reaches(scenario_id, "active")
                work += await ask(service, first)
                running_one += await ask(service, busy[0])
                states = [(await service.get(scenario_id))["state"] for scenario_id in busy]
                assert states == ["active"] * SCENARIOS, f"the clip is too short for this machine: {states}"
                for scenario_id in busy:
                    await service.http.post(f"/scenarios/{scenario_id}/stop")
                for scenario_id in busy:
                    await service.ends(scenario_id)
    ended, of_running, at_rest = (quantiles(times, n=100) for times in (work, running_one, rest))
    name = f"with {SCENARIOS} scenarios running"
    return [
        Row("12", f"GET a scenario, ended, {name}, p99", "ms", ended[98], at_rest[98], at_most(3)),
        Row("", f"GET a scenario, ended, {name}, median", "ms", ended[49], at_rest[49]),
        Row("", f"GET one of them, {name}, p99", "ms", of_running[98], at_rest[98]),
        Row("", f"GET one of them, {name}, median", "ms", of_running[49], at_rest[49]),
    ]


if __name__ == "__main__":
    command(__doc__, measure)
