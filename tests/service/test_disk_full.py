"""A disk that is really full: what the service tells, and that it goes on once there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import running
from tests.support.waiting import until


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder with a disk of its own, which holds an empty database and little more."""
    folder = tmp_path / "data"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs permission to mount a disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write to a file until the disk is full."""
    with file.open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(b"x" * 65_536)
        except OSError:
            return


async def test_a_full_disk_is_told_and_left_by_itself(tmp_path: Path, small_disk: Path) -> None:
    async with running(tmp_path, data_dir=small_disk) as service:
        camera = await service.create(
            "test:testsrc2?size=64x48&live=true", {"type": "mock"}, sampling={"mode": "all"}
        )
        await service.reaches(camera, "active")
        fill(small_disk / "fill")

        async def is_told() -> bool:
            ready = await service.http.get("/health/ready")
            return ready.status_code == 503 and "no space is left" in ready.text

        await until(is_told, 20)
        assert (await service.get(camera))["reason"]["code"] == "no_space"
        metrics = (await service.http.get("/metrics")).text
        assert 'videoanalysis_scenarios_held_up{reason="no_space"} 1.0' in metrics

        (small_disk / "fill").unlink()
        await until(service.is_ready, 60)
        before = await service.get(camera)
        assert before["reason"] is None

        async def goes_on() -> bool:
            now = await service.get(camera)
            return bool(now["progress"]["frames_read"] > before["progress"]["frames_read"])

        await until(goes_on, 60)
