"""A disk that is really full: what the service tells, and that it goes on once there is room."""

from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.clips import marker_clip
from tests.support.service import ServiceProcess, running
from tests.support.small_disk import fill, small_disk
from tests.support.waiting import until

ALL = {"mode": "all"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder with a disk of its own, which holds an empty database and little more."""
    with small_disk(tmp_path / "data", 160) as folder:
        yield folder


async def is_told(service: ServiceProcess) -> bool:
    ready = await service.http.get("/health/ready")
    return ready.status_code == 503 and "no space is left" in ready.text


async def test_a_full_disk_is_told_and_left_by_itself(tmp_path: Path, disk: Path) -> None:
    async with running(tmp_path, data_dir=disk) as service:
        camera = await service.create("test:testsrc2?size=64x48&live=true", {"type": "mock"}, sampling=ALL)
        await service.reaches(camera, "active")
        fill(disk / "fill")
        await until(lambda: is_told(service), 60)
        assert (await service.get(camera))["reason"]["code"] == "no_space"
        metrics = (await service.http.get("/metrics")).text
        assert 'videoanalysis_scenarios_held_up{reason="no_space"} 1.0' in metrics

        (disk / "fill").unlink()
        await until(service.is_ready, 60)
        before = await service.get(camera)
        assert before["reason"] is None

        async def goes_on() -> bool:
            now = await service.get(camera)
            return bool(now["progress"]["frames_read"] > before["progress"]["frames_read"])

        await until(goes_on, 60)


def server_of(disk: Path) -> list[str] | None:
    """Return the lines of the server's process file, None if no server runs."""
    file = disk / "postgres" / "data" / "postmaster.pid"
    return file.read_text().splitlines() if file.exists() else None


async def write_ahead(disk: Path) -> bool:
    """Make the server's write-ahead log grow. Return whether the server has died of it."""
    if (lines := server_of(disk)) is None:
        return True
    try:
        connection = await asyncpg.connect(f"postgresql://postgres@/postgres?host={lines[4]}", timeout=5)
        try:
            while True:
                await connection.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))")
        finally:
            connection.terminate()
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresError):
        return server_of(disk) is None


async def test_a_server_that_dies_of_a_full_disk_is_back_by_itself_and_nothing_is_lost(
    tmp_path: Path, disk: Path
) -> None:
    async with running(tmp_path, data_dir=disk) as service:
        marker_clip(service.media / "clip.mp4", frames=1500)
        clip = await service.create("clip.mp4", {"type": "marker"}, sampling=ALL)
        await service.reaches(clip, "active")
        fill(disk / "fill")
        await until(lambda: write_ahead(disk), 60, poll=0.1)
        await until(lambda: is_told(service), 60)
        refused = await service.http.get(f"/scenarios/{clip}")
        assert refused.status_code == 503
        assert refused.json()["detail"].startswith("No space is left on the disk of VA_DATA_DIR")
        metrics = (await service.http.get("/metrics")).text
        (free,) = [line for line in metrics.splitlines() if line.startswith("videoanalysis_disk_free_bytes ")]
        assert float(free.split()[1]) < 16 * 2**20

        (disk / "fill").unlink()
        await until(service.is_ready, 60)
        ended = await service.ends(clip)
        assert (ended["outcome"], ended["progress"]["frames_sampled"]) == ("completed", 1500)
        found = [
            (each["frame"], [detection["label"] for detection in each["detections"]])
            for each in await service.predictions(clip)
        ]
        assert found == [(frame, [f"aruco:{frame % 1000}"]) for frame in range(1500)]
