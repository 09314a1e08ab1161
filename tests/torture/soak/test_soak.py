"""Row 13: hours of ordinary work, after which nothing has grown.

Eight cameras, a start and a stop every second, a hundred requests a second. Two hours at full length.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from uuid import UUID

import asyncpg
import psutil
import pytest
from anyio import create_task_group, sleep
from msgspec import Struct

from tests.support.cameras import RtspCamera
from tests.support.clips import marker_clip
from tests.support.databases import Databases
from tests.support.service import Json, running
from tests.support.waiting import until
from tests.torture.battery import LONG, Battery, size
from tests.torture.soak.load import Churn, Measured, Readers, Sample, every, look, measure, note

pytestmark = pytest.mark.timeout(size(180, 10_800))  # of which an async test has four fifths

STREAMS = 8
FPS = 2
SECONDS, WARM_UP = size(15, 6300), size(10, 900)
MORE = 8  # files and threads that may be more in the end
SHORT_SLOPE = 6000  # MiB an hour: in some seconds, only what grows fast can be told from noise
SLOPE = size(SHORT_SLOPE, 1)


class Soaked(Struct):
    """What came of a soak: how the process grew after its warm-up, what was done to it and seen wrong.

    A busy machine may refuse one request in a hundred, with 503.
    """

    grown: Measured
    starts: int
    answers: int
    refused: int
    frames: list[int]
    seconds: float
    wrong: list[str]

    def damage(self, slope: float) -> list[str]:
        """What should not have been; memory may grow by `slope` MiB an hour."""
        grown, few = self.grown, 0.5 * FPS * self.seconds
        found = list(self.wrong[:5])
        if self.refused > 0.01 * self.answers:
            found.append(f"{self.refused} of {self.answers} requests were refused")
        if grown.slope > slope:
            found.append(f"memory grows by {grown.slope:,.1f} MiB an hour")
        if grown.files > MORE:
            found.append(f"{grown.files:.0f} more files are open")
        if grown.threads > MORE:
            found.append(f"{grown.threads:.0f} more threads run")
        return found + [f"a stream stored {rows} frames" for rows in self.frames if rows < few]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("soak")
    marker_clip(folder / "camera.mp4", frames=300, fps=10, gop=20, bframes=0)
    marker_clip(folder / "recorded.mp4", frames=300)
    return folder


@pytest.fixture
async def dsns(server: Databases) -> AsyncIterator[dict[str, str]]:
    async with server.empty() as scenarios, server.empty() as predictions:
        yield {"scenarios_dsn": scenarios, "predictions_dsn": predictions}


@asynccontextmanager
async def cameras(clips: Path) -> AsyncGenerator[list[str], None]:
    """The addresses of eight streams."""
    with RtspCamera(clips / "camera.mp4") as first, RtspCamera(clips / "camera.mp4") as second:
        yield [camera.url for camera in (first, second) for _ in range(STREAMS // 2)]


async def soak(
    folder: Path, clips: Path, dsns: dict[str, str], *, app: str, warm_up: float, seconds: float
) -> Soaked:
    """Do all of it to a service, in whose folder `samples.csv` grows.

    What it holds is compared when all that was started has ended: before that, the figures are of the work in
    hand, of which a busy machine has more. Two hours have so many samples that their slope is exact.
    """
    samples: list[Sample] = []
    options: Json = {"media_root": clips, "runner_slots": 3 * STREAMS, "log_level": "warning", **dsns}
    async with cameras(clips) as urls, running(folder, app=app, **options) as service:
        detectors = [{"type": "motion"}, {"type": "marker"}]
        streams = [
            await service.create(url, detectors[number % 2], sampling={"mode": "fps", "fps": FPS})
            for number, url in enumerate(urls)
        ]
        for stream in streams:
            await service.reaches(stream, "active")
        churn = Churn(
            service,
            [
                {"source": "recorded.mp4", "detector": {"type": "marker"}, "sampling": {"mode": "all"}},
                {"source": urls[0], "detector": {"type": "motion"}},
                {"source": "test:testsrc2?rate=20&live=true", "detector": {"type": "mock"}},
                {"source": "recorded.mp4", "detector": {"type": "motion"}},
            ],
        )
        readers = Readers(service, streams)
        process = psutil.Process(service.process.pid)

        async def sample() -> None:
            samples.append(look(process))
            note(samples[-1], folder / "samples.csv")

        began = time.monotonic()
        calm: list[Sample] = []
        for period in (warm_up, seconds):
            samples.clear()
            end = time.monotonic() + period
            async with create_task_group() as group:
                for work in (churn.run, readers.run):
                    group.start_soon(work, end)
                group.start_soon(every, 0.5 if seconds < 600 else 5, sample, end)
            calm.append(await settled(process, calm[0] if calm else None))
        frames = await stored(dsns["predictions_dsn"], streams)
        took = time.monotonic() - began
        wrong = churn.wrong + readers.wrong
        refused = churn.repeated + readers.refused
    grown, at_work = measure(calm), measure(samples)
    slope = at_work.slope if LONG else min(grown.slope, at_work.slope)  # a leak shows in both
    grown = grown._replace(slope=slope)
    return Soaked(grown, churn.done, readers.answers, refused, frames, took, wrong)


async def settled(process: psutil.Process, before: Sample | None) -> Sample:
    """Wait until the process holds little more than before, at most 15 s. Return what it then holds."""
    await sleep(2)  # threads end, and what they freed is returned, some time after their last work
    if before is not None:

        def has_settled() -> bool:
            now = look(process)
            return now.files <= before.files + MORE and now.threads <= before.threads + MORE

        with suppress(AssertionError):
            await until(has_settled, timeout=15, poll=0.5)
    return look(process)


async def stored(dsn: str, scenario_ids: list[str]) -> list[int]:
    """How many rows each scenario has in the predictions database."""
    connection = await asyncpg.connect(dsn)
    try:
        return [
            await connection.fetchval("SELECT count(*) FROM predictions WHERE scenario_id = $1", UUID(name))
            for name in scenario_ids
        ]
    finally:
        await connection.close()


async def test_hours_of_work_leave_nothing_behind(
    tmp_path: Path, clips: Path, dsns: dict[str, str], battery: Battery
) -> None:
    soaked = await soak(tmp_path, clips, dsns, app="app.main:app", warm_up=WARM_UP, seconds=SECONDS)
    print(soaked)
    assert soaked.damage(SLOPE) == []
    grown = soaked.grown
    battery.passed(
        13,
        f"{STREAMS} streams, a start and a stop a second, 100 requests a second",
        f"{soaked.seconds / 60:.1f} min, {soaked.starts:,} starts, {soaked.answers:,} requests",
        f"memory {grown.slope:+.2f} MiB an hour, {grown.files:+.0f} files, {grown.threads:+.0f} threads",
    )


@pytest.mark.long
async def test_where_sources_are_not_closed_the_soak_sees_it(
    tmp_path: Path, clips: Path, dsns: dict[str, str], battery: Battery
) -> None:
    soaked = await soak(
        tmp_path, clips, dsns, app="tests.torture.soak.unguarded:unclosed_sources", warm_up=10, seconds=15
    )
    damage = soaked.damage(SHORT_SLOPE)
    assert any("files" in line for line in damage), soaked
    assert any("memory" in line for line in damage), soaked
    battery.unguarded(13, "closing sources", f"{soaked.starts} starts", "; ".join(damage))
