"""A folder of 1,000 short recordings as a batch, compared with decoding them alone.

Each is two seconds of 360p. The batch analyses every frame with the `mock` detector, sixteen files at a time;
it includes the five seconds for which files must stay the same before they are taken. The reference opens
each file and decodes its frames in this process, in a thread for each core.
"""

import argparse
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from benchmarks.clips import FPS, camera_clip
from benchmarks.table import Row, alternate, command
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until

FILES = 1_000
SECONDS = 2  # of each
AT_ONCE = 16


async def as_batch(service: ServiceProcess, count: int) -> float:
    """Return the files per second from the request until the batch is done; then it is deleted."""
    body = {
        "sources": "many/*.mp4",
        "scenario": {"detector": {"type": "mock"}, "sampling": {"mode": "all"}},
        "at_once": AT_ONCE,
    }
    began = time.perf_counter()
    answer = await service.http.post("/batches", json=body)
    assert answer.status_code in (201, 202), answer.text
    path = f"/batches/{answer.json()['id']}"

    async def is_done() -> bool:
        return bool((await service.http.get(path)).json()["state"] == "done")

    await until(is_done, timeout=60 + count, poll=0.1)
    seconds = time.perf_counter() - began
    counts = (await service.http.get(path)).json()["counts"]
    assert (counts["files"], counts["completed"]) == (count, count), counts
    await service.http.delete(path)

    async def is_gone() -> bool:
        return (await service.http.get(path)).status_code == 404

    await until(is_gone, timeout=60 + count, poll=0.1)
    return count / seconds


def decoded(path: Path) -> int:
    """Return the number of frames of a recording, all of which are decoded."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1  # each core has a file of its own
        return sum(1 for _ in container.decode(video=0))


def alone(paths: list[Path]) -> float:
    """Return the files per second of decoding alone."""
    began = time.perf_counter()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        assert set(pool.map(decoded, paths)) == {SECONDS * FPS}
    return len(paths) / (time.perf_counter() - began)


async def measure(rounds: int, files: int = FILES) -> list[Row]:
    """Alternate between batches and decoding."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        many = folder / "many"
        many.mkdir()
        clip = camera_clip(folder / "one.mp4", seconds=SECONDS, size=(640, 360), encoded=SECONDS)
        paths = [many / f"{number:04}.mp4" for number in range(files)]
        for path in paths:
            shutil.copyfile(clip, path)
        async with running(folder, media_root=folder, runner_slots=AT_ONCE) as service:
            measured, reference = await alternate(
                rounds, partial(as_batch, service, files), partial(alone, paths)
            )
    title = f"a batch of {files:,} files of {SECONDS} s, 360p, every frame"
    return [Row("14", title, "files/s", measured, reference)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--files", type=int, default=FILES)
    given, sys.argv[1:] = parser.parse_known_args()
    command(__doc__, partial(measure, files=given.files), rounds=1)
