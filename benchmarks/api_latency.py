"""How long GET /scenarios/{id} takes while four 720p scenarios run, against the same service at rest."""

import argparse
import time
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import anyio

from benchmarks.table import Row, show
from tests.clips import marker_clip
from tests.service.process import ServiceProcess, running

REQUESTS = 500
SIZE = (1280, 720)


async def ask(service: ServiceProcess, scenario_id: str) -> tuple[float, float]:
    """The median and the 99th percentile of REQUESTS requests, 100 a second, in milliseconds."""
    times = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        answer = await service.http.get(f"/scenarios/{scenario_id}")
        times.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200
        await anyio.sleep(max(0.0, 0.01 - times[-1] / 1000))
    return median(times), quantiles(times, n=100)[98]


async def measure(rounds: int) -> list[Row]:
    """Alternate rest and work `rounds` times."""
    rest: list[tuple[float, float]] = []
    work: list[tuple[float, float]] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        marker_clip(folder / "clip.mp4", frames=3600, size=SIZE)
        async with running(folder, media_root=folder) as service:
            for _ in range(rounds):
                first = await service.create("test:testsrc2?duration=1", {"type": "mock"})
                await service.ends(first)
                rest.append(await ask(service, first))
                busy = [
                    await service.create("clip.mp4", {"type": "motion"}, sampling={"mode": "all"})
                    for _ in range(4)
                ]
                for scenario_id in busy:
                    await service.reaches(scenario_id, "active")
                work.append(await ask(service, busy[0]))
                states = [(await service.get(scenario_id))["state"] for scenario_id in busy]
                assert states == ["active"] * 4, f"the clip is too short for this machine: {states}"
                for scenario_id in busy:
                    await service.http.post(f"/scenarios/{scenario_id}/stop")
                for scenario_id in busy:
                    await service.ends(scenario_id)
    return [
        Row(name, "ms", median(times[column] for times in work), median(times[column] for times in rest))
        for column, name in enumerate(("GET /scenarios/{id}, median", "GET /scenarios/{id}, p99"))
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    show("with four 720p scenarios running, against none", anyio.run(measure, parser.parse_args().rounds))
