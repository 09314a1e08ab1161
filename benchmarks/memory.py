"""Memory of each additional 720p scenario, compared with a bare decoder of the same clip.

A bare decoder is PyAV with one thread, like a runner's, that keeps its newest picture. Decoders are measured
after two seconds of video, scenarios while they run. The database server is measured separately and warm:
its buffers fill up to a limit that does not depend on the number of scenarios. Cameras are compared with
PyAV that receives and decodes the same stream, a thread for each.
"""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import av
import psutil
from anyio import sleep, to_thread

from benchmarks import cameras
from benchmarks.clips import camera_clip
from benchmarks.processes import memory, of_service
from benchmarks.table import Row, alternate, at_most, command
from tests.support.clips import moving_boxes_clip
from tests.support.paths import ROOT
from tests.support.service import Json, ServiceProcess, running

MORE = 4
SECONDS = 600
EVERY_FRAME: Json = {"mode": "all"}
TWO_A_SECOND: Json = {"mode": "fps", "fps": 2}
NOTHING: Json = {"type": "mock", "max_detections": 0}
MOTION: Json = {"type": "motion"}
_LOOKS, _EVERY = 10, 0.1
_WARM_UP = 10.0


def decode(clip: str, count: str) -> None:
    """Run as a process: decode with `count` decoders, one picture each per line of input."""
    decoders = []
    for _ in range(int(count)):
        container = av.open(clip)
        container.streams.video[0].thread_type = "NONE"
        container.streams.video[0].codec_context.thread_count = 1
        decoders.append(container.decode(video=0))
    pictures = [next(decoder) for decoder in decoders]
    for _ in range(60):
        pictures = [next(decoder) for decoder in decoders]
    print(len(pictures), flush=True)
    sys.stdin.readline()


def decode_cameras(url: str, count: str) -> None:
    """Run as a process: receive and decode a stream `count` times, until a line comes in."""
    for _ in range(int(count)):
        Thread(target=cameras.decode, args=(url,), daemon=True).start()
    time.sleep(_WARM_UP)
    print(flush=True)
    sys.stdin.readline()


def bare(script: str, source: str) -> float:
    """Return the MiB of each additional decoder in one process, which the function of this name runs."""
    sizes = []
    for count in (1, 1 + MORE):
        run = f"import sys; from benchmarks.memory import {script}; {script}(*sys.argv[1:])"
        with subprocess.Popen(
            [sys.executable, "-c", run, source, str(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            sizes.append(memory([psutil.Process(process.pid)]))
            process.stdin.close()
    return (sizes[1] - sizes[0]) / MORE / 2**20


async def of_scenarios(folder: Path, source: str, detector: Json, sampling: Json) -> float:
    """Return the MiB of each additional scenario; the service is new, because it keeps freed memory."""
    with TemporaryDirectory(dir=folder) as name:
        async with running(Path(name), media_root=folder, runner_slots=1 + MORE) as service:
            sizes = []
            is_live = source.startswith("rtsp:")
            for count in (1, MORE):
                await start(service, count, source, detector, sampling)
                if is_live:
                    await sleep(_WARM_UP)
                sizes.append(await most(of_service(service)[:1]))
    return (sizes[1] - sizes[0]) / MORE / 2**20


async def of_server(folder: Path, source: str, detector: Json, sampling: Json) -> float:
    """Return the database server's MiB for each additional scenario, after a warm-up with as many."""
    with TemporaryDirectory(dir=folder) as name:
        async with running(Path(name), media_root=folder, runner_slots=1 + MORE) as service:
            warming = await start(service, 1 + MORE, source, detector, sampling)
            await sleep(_WARM_UP)
            for scenario_id in warming:
                await service.http.post(f"/scenarios/{scenario_id}/stop")
            for scenario_id in warming:
                await service.ends(scenario_id)
            sizes = []
            for count in (1, MORE):
                await start(service, count, source, detector, sampling)
                sizes.append(await most(of_service(service)[1:]))
    return (sizes[1] - sizes[0]) / MORE / 2**20


async def start(
    service: ServiceProcess, count: int, source: str, detector: Json, sampling: Json
) -> list[str]:
    """Create `count` scenarios, one after the other."""
    started = []
    for _ in range(count):
        started.append(await service.create(source, detector, sampling=sampling))
        await service.reaches(started[-1], "active")
    return started


async def most(processes: list[psutil.Process]) -> int:
    """Return the processes' highest number of bytes within a second."""
    looks = []
    for _ in range(_LOOKS):
        await sleep(_EVERY)
        looks.append(await to_thread.run_sync(memory, processes))
    return max(looks)


async def measure(rounds: int) -> list[Row]:
    """Alternate between decoders and services, `rounds` times."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = camera_clip(folder / "clip.mp4", seconds=SECONDS, size=(1280, 720))
        reference, every, some, motion = await alternate(
            rounds,
            partial(to_thread.run_sync, bare, "decode", str(clip)),
            partial(of_scenarios, folder, clip.name, NOTHING, EVERY_FRAME),
            partial(of_scenarios, folder, clip.name, NOTHING, TWO_A_SECOND),
            partial(of_scenarios, folder, clip.name, MOTION, TWO_A_SECOND),
        )
        server = await of_server(folder, clip.name, NOTHING, EVERY_FRAME)
        sent = moving_boxes_clip(folder / "sent.mp4", frames=50, size=(1280, 720), fps=5, gop=5, bframes=0)
        with cameras.served(sent) as url:
            received, camera = await alternate(
                rounds,
                partial(to_thread.run_sync, bare, "decode_cameras", url),
                partial(of_scenarios, folder, url, NOTHING, TWO_A_SECOND),
            )
    unit = "MiB"
    return [
        Row("11", "an additional 720p scenario, every frame", unit, every, reference, at_most(1.3)),
        Row("11", "an additional 720p scenario, 2 frames/s", unit, some, reference, at_most(1.3)),
        Row("", "an additional 720p camera, 2 frames/s", unit, camera, received, at_most(1.2)),
        Row("", "… with what motion remembers of the scene", unit, motion, reference),
        Row("", "… in the database server, once it is warm", unit, server, reference),
    ]


if __name__ == "__main__":
    command(__doc__, measure)
