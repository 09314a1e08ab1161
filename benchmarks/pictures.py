"""Frames of a recording over HTTP, compared with a bare seek and decode, and what they cost scenarios.

The reference opens the file, seeks to the key frame before, decodes to the frame and encodes a JPEG, in a
process that runs already. Then two scenarios analyse every frame, alone and while ten clients ask for
pictures of a long recording without a pause.
"""

import random
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio
import av
import cv2

from benchmarks.clips import FPS, camera_clip
from benchmarks.services import busy_seconds, completed
from benchmarks.table import Row, at_least, at_most, command
from tests.support.service import ServiceProcess, running

SECONDS = 1200  # of the long recording
PICTURES = 30  # per round
CLIENTS = 10
_QUALITY = 85


def bare(path: Path, frame: int) -> None:
    """Seek to a frame, decode it, and encode it as JPEG."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        wanted = (stream.start_time or 0) + round(frame / FPS / stream.time_base)
        container.seek(wanted, stream=stream)
        for picture in container.decode(stream):
            if picture.pts is not None and picture.pts >= wanted:
                image = picture.to_ndarray(format="bgr24")
                cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
                return
    raise AssertionError(f"{path} has no frame {frame}")


async def shown(service: ServiceProcess, scenario_id: str, frame: int) -> int:
    """Ask for a frame, and return the status of the answer."""
    answer = await service.http.get(f"/scenarios/{scenario_id}/frame.jpg?frame={frame}")
    return int(answer.status_code)


async def measure(rounds: int) -> list[Row]:
    """Alternate between the service and the reference, and between scenarios with and without pictures."""
    chance = random.Random(1)
    ours: list[float] = []
    references: list[float] = []
    alone: list[float] = []
    disturbed: list[float] = []
    answered = 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = camera_clip(folder / "long.mp4", seconds=SECONDS, size=(1280, 720))
        camera_clip(folder / "short.mp4", seconds=60, size=(1280, 720))
        async with running(folder, media_root=folder) as service:
            recorded = await service.create("long.mp4", {"type": "mock"}, sampling={"mode": "fps", "fps": 2})
            await completed(service, recorded)
            page = await service.http.get(f"/scenarios/{recorded}/predictions?limit=1000")
            frames = [item["frame"] for item in page.json()["items"]]
            assert await shown(service, recorded, frames[0]) == 200

            async def ask_without_a_pause(until: anyio.Event) -> None:
                nonlocal answered
                while not until.is_set():
                    answered += await shown(service, recorded, chance.choice(frames)) == 200

            for _ in range(rounds):
                for frame in chance.sample(frames, PICTURES):
                    began = time.perf_counter()
                    assert await shown(service, recorded, frame) == 200
                    ours.append(time.perf_counter() - began)
                    began = time.perf_counter()
                    bare(clip, frame)
                    references.append(time.perf_counter() - began)
                every = {"sampling": {"mode": "all"}}
                alone.append(await busy_seconds(service, 2, "short.mp4", {"type": "mock"}, **every))
                ended = anyio.Event()
                async with anyio.create_task_group() as group:
                    for _ in range(CLIENTS):
                        group.start_soon(ask_without_a_pause, ended)
                    disturbed.append(await busy_seconds(service, 2, "short.mp4", {"type": "mock"}, **every))
                    ended.set()
    return [
        Row(
            "19",
            "720p, a frame of a recording of 20 minutes as JPEG",
            "pictures/s",
            1 / median(ours),
            1 / median(references),
            at_least(0.7),
        ),
        Row(
            "19",
            "two scenarios, 720p, every frame, while ten clients see frames",
            "s",
            median(disturbed),
            median(alone),
            at_most(1.1),
            note=f"{answered} pictures meanwhile",
        ),
    ]


if __name__ == "__main__":
    command(__doc__, measure, rounds=3)
