"""The service, compared with what a user would write instead: benchmarks.script, and InferencePipeline.

Roboflow's InferencePipeline is measured only if `make bench-pipeline` has installed it.
"""

import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio import to_thread
from msgspec import Struct

from app.postgres.embedded.server import embedded_server
from benchmarks import network
from benchmarks.clips import FPS, camera_clip
from benchmarks.processes import cpu, of_server, of_service
from benchmarks.services import busy_seconds
from benchmarks.table import Row, alternate, at_least, at_most, command
from tests.support.paths import ROOT
from tests.support.service import Json, ServiceProcess, running

HOUR = 3600
PIPELINE = ROOT / ".venv-pipeline" / "bin" / "python"
MOTION_SECONDS = 30


class Case(Struct, frozen=True):
    """A clip, a network, and the goal for the ratio."""

    clip_height: int
    clip_width: int
    height: int
    width: int
    seconds: int
    goal: float

    def __str__(self) -> str:
        return f"{self.clip_height}p, every frame, nano at {self.width}×{self.height}"


CASES = (
    Case(720, 1280, 640, 640, 5, 1.25),
    Case(720, 1280, 192, 320, 20, 1.45),
    Case(1080, 1920, 192, 320, 15, 1.55),
)
COMPARED = CASES[1]
"""Rounds with InferencePipeline, which starts slowly."""


class Cost(Struct, frozen=True):
    """Frames per second, and CPU seconds per hour of video, including the database server's."""

    rate: float
    hour: float


class Site(Struct, frozen=True):
    """A running service, and a database on its server for the scripts."""

    service: ServiceProcess
    dsn: str

    def script(self, module: str, clip: Path, model: str, python: Path) -> Cost:
        """Return the result of a script, without its start."""
        server = of_server(self.service.folder)
        before = cpu(server)
        answer = subprocess.run(
            [python, "-m", f"benchmarks.{module}", clip, self.dsn, model],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        frames, seconds, spent = map(float, answer.stdout.split()[-3:])
        return Cost(frames / seconds, (spent + cpu(server) - before) * HOUR * FPS / frames)

    async def scenario(self, clip: Path, seconds: int, detector: Json, sampling: Json) -> Cost:
        """Return the result of a scenario, including its start and the API's work."""
        processes = [*of_service(self.service), *of_server(self.service.folder)]
        before = cpu(processes)
        busy = await busy_seconds(self.service, 1, clip.name, detector, sampling=sampling)
        return Cost(seconds * FPS / busy, (cpu(processes) - before) * HOUR / seconds)


async def every_frame(site: Site, case: Case, rounds: int) -> list[Row]:
    """Return rows 9 and 9c for one case."""
    folder = site.service.folder
    size = case.clip_width, case.clip_height
    clip = camera_clip(folder / f"{size}-{case.seconds}.mp4", seconds=case.seconds, size=size)
    model = network.save(folder / f"{case.height}.onnx", case.height, case.width)
    detector = {"type": "onnx", "model": model.name}

    def script(module: str, python: Path) -> float:
        return site.script(module, clip, str(model), python).rate

    async def service() -> float:
        return (await site.scenario(clip, case.seconds, detector, {"mode": "all"})).rate

    scripts = [("script", Path(sys.executable))]
    if PIPELINE.exists() and case == COMPARED:
        scripts.append(("pipeline_script", PIPELINE))
    works = [partial(to_thread.run_sync, script, *each) for each in scripts]
    own, *others = await alternate(rounds, service, *works)
    numbers = [("9", "a script", at_least(case.goal)), ("9c", "InferencePipeline", at_least(1.3))]
    return [
        Row(number, f"{case}, against {what}", "frames/s", own, other, goal)
        for other, (number, what, goal) in zip(others, numbers, strict=False)
    ]


async def motion(site: Site, rounds: int) -> Row:
    """Return row 9b."""
    clip = camera_clip(site.service.folder / "hour.mp4", seconds=MOTION_SECONDS, size=(1920, 1080))

    def script() -> float:
        return site.script("script", clip, "motion", Path(sys.executable)).hour

    async def service() -> float:
        sampling = {"mode": "fps", "fps": 2}
        return (await site.scenario(clip, MOTION_SECONDS, {"type": "motion"}, sampling)).hour

    own, other = await alternate(rounds, service, partial(to_thread.run_sync, script))
    return Row("9b", "an hour of 1080p30, motion at 2 frames/s", "CPU s", own, other, at_most(0.45))


async def measure(rounds: int) -> list[Row]:
    """Alternate between the service and the scripts, `rounds` times."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            running(folder, media_root=folder, model_root=folder) as service,
            embedded_server(folder / "data" / "postgres", databases=["scripts"]) as server,
        ):
            site = Site(service, server.dsn("scripts"))
            rows = [row for case in CASES for row in await every_frame(site, case, rounds)]
            return [*rows, await motion(site, rounds)]


if __name__ == "__main__":
    command(__doc__, measure)
