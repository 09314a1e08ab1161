"""Time from POST /scenarios to the first stored prediction, compared with a bare script.

The service is warm: it has analysed the file with this detector before. The clip is 720p H.264 with B-frames,
sampled at 2 frames/s. The time ends when another connection to the predictions database sees the prediction.
The bare script opens the file with PyAV and runs the service's own detector, already loaded, on one frame, in
one thread.
"""

import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import av
import cv2
from anyio import create_task_group, fail_after, sleep, to_thread

from app.detectors.base import Detector
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import DetectorConfig as Config
from app.domain.detector_config import Marker, Onnx
from app.postgres import Connection, open_connection
from app.video.pictures import AvPicture
from benchmarks import network
from benchmarks.services import completed, predictions_of
from benchmarks.table import Row, alternate, at_most, command
from tests.support.clips import marker_clip
from tests.support.service import Json, ServiceProcess, running

TURNS = 10  # of each kind, per round
SIZE = (1280, 720)
DETECTORS: dict[str, tuple[Json, Config]] = {
    "marker": ({"type": "marker"}, Marker()),
    "onnx, a nano at 320×192": ({"type": "onnx", "model": "nano.onnx"}, Onnx("nano.onnx")),
}


def bare(clip: Path, detector: Detector) -> float:
    """Return the milliseconds to open the file, decode a frame and run the detector on it."""
    began = time.perf_counter()
    with av.open(str(clip)) as container:
        frame = next(container.decode(video=0))
        detector.detect(AvPicture(frame), 0)
    return (time.perf_counter() - began) * 1000


async def first_prediction(
    service: ServiceProcess, predictions: Connection, clip: str, detector: Json
) -> float:
    """Return the milliseconds from the request to the first prediction, after all predictions are stored."""
    scenario_id = uuid4()
    seen = 0.0

    async def watch() -> None:
        nonlocal seen
        sql = "SELECT EXISTS (SELECT FROM predictions WHERE scenario_id = $1)"
        with fail_after(60):  # not `until`, which would look every 4 ms by then
            while not await predictions.fetchval(sql, scenario_id):  # noqa: ASYNC110 - another process's
                await sleep(0.001)
        seen = time.perf_counter()

    async with create_task_group() as group:
        group.start_soon(watch)
        began = time.perf_counter()
        await service.create(clip, detector, id=str(scenario_id))
    await completed(service, str(scenario_id))
    return (seen - began) * 1000


async def measure(rounds: int) -> list[Row]:
    """Alternate, TURNS of each kind per round."""
    cv2.setNumThreads(1)  # as app.process does
    rows = []
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        clip = marker_clip(folder / "clip.mp4", frames=150, size=SIZE)
        network.save(folder / "nano.onnx", 192, 320)
        async with (
            running(folder, media_root=folder, model_root=folder) as service,
            predictions_of(service) as dsn,
            open_connection(dsn) as predictions,
        ):
            for name, (asked, config) in DETECTORS.items():
                detector = make_detector(config, ModelCache(folder))
                served = partial(first_prediction, service, predictions, clip.name, asked)
                alone = partial(to_thread.run_sync, bare, clip, detector)
                await served()
                await alone()
                measured, reference = await alternate(TURNS * rounds, served, alone)
                title = f"POST to first stored prediction, {name}"
                rows.append(Row("10", title, "ms", measured, reference, at_most(1.5, plus=20)))
    return rows


if __name__ == "__main__":
    command(__doc__, measure)
