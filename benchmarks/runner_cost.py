"""What a camera costs a runner at two sampled frames a second: CPU time for a second of video, and memory.

The reference is the CPU time of a bare PyAV decode of the same file in the same run.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import av
import psutil

from benchmarks.table import Row, show
from tests.clips import moving_boxes_clip
from tests.service.process import ServiceProcess, running

SECONDS = 60
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
CAMERAS = 4


def cpu_of(work: Callable[[], None]) -> float:
    """CPU seconds that this process spends on `work`."""
    began = time.process_time()
    work()
    return time.process_time() - began


def decode(clip: Path) -> None:
    """Decode every frame."""
    with av.open(str(clip)) as container:
        for _ in container.decode(video=0):
            pass


async def cost(service: ServiceProcess, clip: str) -> tuple[float, float]:
    """CPU seconds for each second of one camera's video, and MiB for each further camera."""
    process = psutil.Process(service.process.pid)
    idle = process.memory_info().rss
    began = sum(process.cpu_times()[:2])
    ids = [await service.create(clip, {"type": "motion"}) for _ in range(CAMERAS)]
    highest = idle
    for scenario_id in ids:
        while (await service.get(scenario_id))["state"] != "inactive":
            highest = max(highest, process.memory_info().rss)
            await anyio.sleep(0.05)
    spent = sum(process.cpu_times()[:2]) - began
    return spent / CAMERAS / SECONDS, (highest - idle) / CAMERAS / 2**20


async def measure(rounds: int) -> tuple[list[Row], list[str]]:
    """Alternate the reference and the service `rounds` times, for each size."""
    rows, notes = [], []
    with TemporaryDirectory() as name:
        folder = Path(name)
        for label, size in SIZES.items():
            clip = moving_boxes_clip(folder / f"{label}.mp4", frames=30 * SECONDS, size=size)
            bare, costs = [], []
            for _ in range(rounds):
                bare.append(await anyio.to_thread.run_sync(cpu_of, lambda: decode(clip)) / SECONDS)  # noqa: B023
                place = folder / f"{label}-{len(bare)}"
                place.mkdir()
                async with running(place, media_root=folder) as service:  # anew: memory is not given back
                    costs.append(await cost(service, clip.name))
            spent = median(cpu for cpu, _ in costs)
            rows.append(Row(f"{label} at 2 frames/s, motion", "CPU s/s", spent, median(bare)))
            memory = median(mebibytes for _, mebibytes in costs)
            notes.append(f"{label}: {memory:.0f} MiB for each further camera, {1 / spent:.0f} cameras a core")
    return rows, notes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    measured, remarks = anyio.run(measure, parser.parse_args().rounds)
    show("what a camera costs a runner, against a bare decode", measured)
    print("\n".join(remarks))
