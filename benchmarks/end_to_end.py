"""Frames a second through the whole service, against a bare PyAV decode of the same file in the same run.

The service decodes, samples every frame, runs the named detector and stores one prediction a frame.
"""

import argparse
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import av

from benchmarks.table import Row, show
from tests.clips import marker_clip
from tests.service.process import ServiceProcess, running

FRAMES = 900
SIZE = (1280, 720)
DETECTORS = ("mock", "motion", "marker")


def bare_decode(clip: Path) -> float:
    """Frames a second of PyAV alone, with the threads that the service gives a decoder."""
    began = time.perf_counter()
    frames = 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
        for _ in container.decode(stream):
            frames += 1
    return frames / (time.perf_counter() - began)


async def through_the_service(service: ServiceProcess, clip: Path, detector: str) -> float:
    """Frames a second from the request to the last stored prediction."""
    began = time.perf_counter()
    scenario_id = await service.create(clip.name, {"type": detector}, sampling={"mode": "all"})
    scenario = await service.ends(scenario_id, timeout=300)
    assert scenario["progress"]["frames_sampled"] == FRAMES, scenario
    return FRAMES / (time.perf_counter() - began)


async def measure(rounds: int) -> list[Row]:
    """Alternate the reference and each detector `rounds` times."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = marker_clip(folder / "clip.mp4", frames=FRAMES, size=SIZE)
        results: dict[str, list[float]] = {detector: [] for detector in DETECTORS}
        references = []
        async with running(folder, media_root=folder) as service:
            for _ in range(rounds):
                references.append(await anyio.to_thread.run_sync(bare_decode, clip))
                for detector in DETECTORS:
                    results[detector].append(await through_the_service(service, clip, detector))
    return [
        Row(f"720p, every frame, {detector}", "frames/s", median(rates), median(references))
        for detector, rates in results.items()
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    show("end to end, against a bare PyAV decode", anyio.run(measure, parser.parse_args().rounds))
