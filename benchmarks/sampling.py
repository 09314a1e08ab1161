"""CPU time of reading: a scenario whose detector does nothing, compared with a bare FFmpeg.

The reference decodes every frame, or nothing but key frames, in one thread, which costs the least CPU time.
"""

import shutil
import subprocess
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio_ffmpeg
from anyio import to_thread

from benchmarks.clips import camera_clip
from benchmarks.processes import cpu, of_service, own_cpu
from benchmarks.services import busy_seconds
from benchmarks.table import Row, alternate, at_most, command
from tests.support.service import ServiceProcess, running

SECONDS = 60
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
NOTHING = {"type": "mock", "max_detections": 0}


def ffmpeg(clip: Path, skipped: str) -> float:
    """Return the CPU milliseconds per second of video; `skipped`: what its decoder skips."""
    program = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
    began = own_cpu()
    decoder = ["-threads", "1", "-skip_frame", skipped]
    options = ["-v", "error", "-nostdin", *decoder, "-i", str(clip), "-fps_mode", "passthrough"]
    subprocess.run([program, *options, "-f", "null", "-"], check=True)
    return 1000 * (own_cpu() - began) / SECONDS


async def in_the_service(service: ServiceProcess, clip: Path, sampling: str) -> float:
    """Return the CPU milliseconds of the service's process per second of video."""
    processes = of_service(service)
    began = cpu(processes)
    await busy_seconds(service, 1, clip.name, NOTHING, sampling={"mode": sampling})
    return 1000 * (cpu(processes) - began) / SECONDS


async def measure(rounds: int) -> list[Row]:
    """Alternate between FFmpeg and both kinds of sampling, `rounds` times."""
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with running(folder, media_root=folder) as service:
            for label, size in SIZES.items():
                clip = camera_clip(folder / f"{label}.mp4", seconds=SECONDS, size=size)
                full, only_keys, every, keys = await alternate(
                    rounds,
                    partial(to_thread.run_sync, ffmpeg, clip, "none"),
                    partial(to_thread.run_sync, ffmpeg, clip, "nokey"),
                    partial(in_the_service, service, clip, "all"),
                    partial(in_the_service, service, clip, "keyframes"),
                )
                unit, what = "CPU ms/s", f"{label}, key frames, no detection"
                rows.append(Row("1", f"{label}, every frame, no detection", unit, every, full, at_most(1.05)))
                rows.append(Row("6", what, unit, keys, only_keys, at_most(1.1)))
                rows.append(Row("", f"{what}, against decoding all", unit, keys, full))
    return rows


if __name__ == "__main__":
    command(__doc__, measure)
