"""The detector `objects` on a recording through the whole service, compared with bare inference.

The reference is a loop over `session.run` with one letterboxed picture of the same recording, in the best of
three ways to use the cores: it decodes, scales, reads and stores nothing.
"""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
from anyio import to_thread

from app.detectors.backends.session import Array
from app.detectors.layouts.preprocessing import PictureScaler
from app.detectors.objects.detector import STATED, WEIGHTS
from app.detectors.onnx.cache import ModelCache
from benchmarks.backends import pictures
from benchmarks.inference import best_bare
from benchmarks.services import busy_seconds
from benchmarks.table import Row, alternate, command
from tests.support.clips import marker_clip
from tests.support.service import ServiceProcess, running

FRAMES = 900


def letterboxed(folder: Path) -> dict[str, Array]:
    """Return the model's inputs for a picture of the recording, as the detector makes them."""
    model = ModelCache(folder).load_file(WEIGHTS, "objects").understood(STATED)
    return model.feeds(PictureScaler(model.form).scale(pictures(folder)[0]))


async def through_the_service(service: ServiceProcess, clip: str) -> float:
    """Return the frames per second, from the scenario's start to its end."""
    return FRAMES / await busy_seconds(service, 1, clip, {"type": "objects"}, sampling={"mode": "all"})


async def measure(rounds: int) -> list[Row]:
    """Alternate between the bare loop and the service, `rounds` times."""
    cv2.setNumThreads(1)  # as app.process does
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip = marker_clip(folder / "long.mp4", frames=FRAMES, size=(1280, 720)).name
        feeds = await to_thread.run_sync(letterboxed, folder)
        async with running(folder, media_root=folder, model_root=folder) as service:
            reference, speed = await alternate(
                rounds,
                lambda: to_thread.run_sync(best_bare, WEIGHTS, feeds),
                partial(through_the_service, service, clip),
            )
    return [Row("", "720p, every frame, objects", "frames/s", speed, reference)]


if __name__ == "__main__":
    command(__doc__, measure)
