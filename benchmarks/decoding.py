"""The cost of decoding in one process per source (VA_DECODING=process), compared with threads.

Each measurement reads two one-minute recordings at the same time in a new interpreter. It counts the CPU time
of that interpreter and its processes, including their start, and the growth of their memory, with shared
pages counted once.
"""

import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import msgspec
import psutil
from msgspec import Struct

from app.domain.prediction import Detection
from app.domain.sampling import EveryFrame, FixedRate, Sampling
from app.domain.source import parse_source
from app.runner.frames.pipeline import Pipeline
from app.runner.frames.tasks import FrameTask
from app.runner.frames.workers import Workers
from app.video.decoder.parent import ProcessReader
from app.video.reader import ThreadReader
from app.video.reading import ReadRequest
from benchmarks.clips import camera_clip
from benchmarks.table import Row, command

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
SAMPLINGS: dict[str, Sampling] = {"every frame": EveryFrame(), "2 frames/s": FixedRate(2)}
KINDS: dict[str, type[ThreadReader] | type[ProcessReader]] = {
    "thread": ThreadReader,
    "process": ProcessReader,
}
CAMERAS = 2
SECONDS = 60
_PACE = 0.02


class Cost(Struct):
    """CPU seconds and MiB of all sources together."""

    cpu: float
    memory: float


def look(task: FrameTask) -> tuple[Detection, ...]:
    """Do the work that a cheap detector needs from a picture."""
    assert task.picture is not None
    task.picture.gray((640, 360))
    return ()


def cost(
    clip: Path, sampling: Sampling, kind: type[ThreadReader] | type[ProcessReader], cameras: int
) -> Cost:
    """Read a clip through several readers at the same time."""
    idle, spent = memory(), cpu()
    highest = idle
    workers = Workers(2)
    going = []
    for _ in range(cameras):
        pipeline = Pipeline(look, workers=workers, parallel=2, wake=lambda: None)
        request = ReadRequest(parse_source(clip.name), str(clip.parent.absolute()), "", sampling)
        kind(request).start(pipeline)
        going.append(pipeline)
    turn = 0
    while going:
        going = [pipeline for pipeline in going if not pipeline.take().is_over]
        time.sleep(_PACE)
        turn += 1
        if turn % 5 == 0:
            highest = max(highest, memory())
    while any(thread.name == "decode" for thread in threading.enumerate()):
        time.sleep(_PACE)
    return Cost(cpu() - spent, (highest - idle) / 2**20)


def cpu() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    who = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in who)


def memory() -> int:
    """Return the bytes of this process and its children; shared pages are counted once."""
    total = 0
    for process in [psutil.Process(), *psutil.Process().children()]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # the process has just ended
            continue
    return total


def measured(clip: Path, sampling: str, kind: str, cameras: int) -> Cost:
    """Run `cost` in a new interpreter."""
    one = [sys.executable, "-m", "benchmarks.decoding", "--one", str(clip), sampling, kind, str(cameras)]
    answer = subprocess.run(one, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(answer.stdout, type=Cost)


async def measure(rounds: int) -> list[Row]:
    """Alternate between thread and process, `rounds` times for each case."""
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        for label, size in SIZES.items():
            clip = camera_clip(folder / f"{label}.mp4", seconds=SECONDS, size=size)
            for sampling in SAMPLINGS:
                costs: dict[str, list[Cost]] = {kind: [] for kind in KINDS}
                for _ in range(rounds):
                    for kind, of_kind in costs.items():
                        of_kind.append(measured(clip, sampling, kind, CAMERAS))
                thread, process = (median(each.cpu for each in costs[kind]) for kind in KINDS)
                scale = 1000 / CAMERAS / SECONDS
                rows.append(
                    Row(
                        "",
                        f"{label}, {sampling}, decoded in a process: CPU",
                        "CPU ms/s",
                        scale * process,
                        scale * thread,
                    )
                )
                thread, process = (median(each.memory for each in costs[kind]) / CAMERAS for kind in KINDS)
                rows.append(
                    Row("", f"{label}, {sampling}, decoded in a process: memory", "MiB", process, thread)
                )
    return rows


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        path, which, how, count = sys.argv[2:]
        result = cost(Path(path), SAMPLINGS[which], KINDS[how], int(count))
        sys.stdout.buffer.write(msgspec.json.encode(result))
    else:
        command(__doc__, measure, rounds=1)
