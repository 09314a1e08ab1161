"""Throughput of a scenario with a YOLO nano through the whole service, compared with an ideal.

In the ideal, the stages overlap without a gap: it is the number of cores divided by the sum of the CPU
seconds that one frame costs in each stage alone. Inference alone is compared with a bare loop over
`session.run`, in the best of three ways to use the cores.
"""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from uuid import uuid4

import cv2
import numpy as np
import onnxruntime
from anyio import to_thread
from msgspec import Struct

from app.detectors.backends.session import Array
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Onnx
from app.domain.networks import Networks
from app.domain.picture import Picture
from app.domain.prediction import Prediction
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.postgres import open_database
from app.predictions.checkpoint import Batch, Counters, Fence
from app.runner.storing import checkpoints as store
from app.runner.storing import claims
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.recording import Recording
from benchmarks import network
from benchmarks.processes import cpu, of_server, own_cpu
from benchmarks.services import busy_seconds, predictions_of
from benchmarks.table import Row, alternate, at_least, command
from tests.support.clips import marker_clip
from tests.support.service import ServiceProcess, running

CORES = os.cpu_count() or 1
CASES = ((640, 640, 300), (192, 320, 1800))
"""Height and width of the network's input, and frames in the clip: enough that the start and the end of a
scenario, which row 10 measures, are a small part."""

SHARING = 4
_SAMPLE = 60
_BATCH = 30


class Case(Struct, frozen=True):
    """A clip and a model, both in `folder`."""

    folder: Path
    clip: str
    model: str
    frames: int

    @property
    def detector(self) -> Onnx:
        return Onnx(self.model)

    def pictures(self, count: int) -> list[Picture]:
        """Return the first pictures, decoded as a runner decodes them."""
        with open_video(parse_source(self.clip), self.folder, Networks(""), stop=Event()) as video:
            assert isinstance(video, Recording)
            sampled = (
                entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)
            )
            return [entry.picture for entry in islice(sampled, count) if entry.picture is not None]


def decoding(case: Case) -> float:
    """Return the CPU seconds per frame of decoding alone, as a runner does it."""
    began = own_cpu()
    with open_video(parse_source(case.clip), case.folder, Networks(""), stop=Event()) as video:
        assert isinstance(video, Recording)
        for _ in video.frames(EveryFrame(), "all"):
            pass
    return (own_cpu() - began) / case.frames


def detecting(case: Case) -> float:
    """Return the CPU seconds per frame of scaling, inference and reading the output, in one thread."""
    pictures = case.pictures(_SAMPLE)
    detector = make_detector(case.detector, ModelCache(case.folder))
    detector.detect(pictures[0], 0)
    began = own_cpu()
    for number, picture in enumerate(pictures):
        detector.detect(picture, number)
    return (own_cpu() - began) / _SAMPLE


async def storing(case: Case, folder: Path, dsn: str) -> float:
    """Return the CPU seconds per frame of storing, client and server together."""
    detector = make_detector(case.detector, ModelCache(case.folder))
    found = detector.detect(case.pictures(1)[0], 0)
    async with open_database(dsn) as database, database.connection() as connection:
        fence = Fence(uuid4(), 1, uuid4())
        await claims.claim(connection, fence)
        server = of_server(folder)
        began = own_cpu() + cpu(server)
        for start in range(0, 40 * _BATCH, _BATCH):
            frames = range(start, start + _BATCH)
            batch = Batch(
                start=start,
                end=start + _BATCH,
                predictions=[Prediction(frame, frame / 30, found, None) for frame in frames],
                counters=Counters(),
                position_seconds=start / 30,
                frames_per_second=30,
                candidates="all",
                replay_frame=start,
                replay_sampled=start,
                source_state="open",
            )
            assert await store.write(connection, fence, batch)
        return (own_cpu() + cpu(server) - began) / (40 * _BATCH)


async def ideal(case: Case, folder: Path, dsn: str) -> float:
    """Return the frames per second if every core does nothing but the stages."""
    spent = await to_thread.run_sync(lambda: decoding(case) + detecting(case))
    spent += await storing(case, folder, dsn)
    return CORES / spent


async def through_the_service(case: Case, service: ServiceProcess, scenarios: int) -> float:
    """Return the frames per second, from the first scenario's start to the last one's end."""
    return (
        scenarios
        * case.frames
        / await busy_seconds(
            service, scenarios, case.clip, {"type": "onnx", "model": case.model}, sampling={"mode": "all"}
        )
    )


def bare(
    model: Path, seconds: float, workers: int, threads: int, feeds: Mapping[str, Array] | None = None
) -> float:
    """Return the inferences per second of `workers` loops over one session with `threads` threads each.

    Without `feeds`, the picture is black.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = feeds or {"images": np.zeros(session.get_inputs()[0].shape, np.float32)}
    session.run(None, given)
    began = time.perf_counter()

    def loop() -> int:
        runs = 0
        while time.perf_counter() - began < seconds:
            session.run(None, given)
            runs += 1
        return runs

    with ThreadPoolExecutor(workers) as pool:
        runs = sum(pool.map(lambda _: loop(), range(workers)))
    return runs / (time.perf_counter() - began)


def best_bare(model: Path, feeds: Mapping[str, Array] | None = None) -> float:
    """Return the best of: one loop per core, one loop over all cores, and ONNX Runtime's defaults."""
    return max(bare(model, 2, *way, feeds) for way in ((CORES, 1), (1, CORES), (1, 0)))


async def measure(rounds: int) -> list[Row]:
    """Alternate between the ideals and the service, `rounds` times."""
    cv2.setNumThreads(1)  # as app.process does
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            running(folder, media_root=folder, model_root=folder, runner_slots=SHARING) as service,
            predictions_of(service) as dsn,
        ):
            for height, width, frames in CASES:
                model = network.save(folder / f"{height}.onnx", height, width).name
                clip = marker_clip(folder / f"{height}.mp4", frames=frames, size=(1280, 720)).name
                case = Case(folder, clip, model, frames)
                clip = marker_clip(folder / f"{height}-short.mp4", frames=frames // 3, size=(1280, 720)).name
                short = Case(folder, clip, model, frames // 3)
                best, one, four = await alternate(
                    rounds,
                    partial(ideal, case, folder, dsn),
                    partial(through_the_service, case, service, 1),
                    partial(through_the_service, short, service, SHARING),
                )
                what = f"720p, every frame, nano at {width}×{height}"
                rows.append(Row("2", f"{what}, one scenario", "frames/s", one, best, at_least(0.92)))
                rows.append(Row("3", f"{what}, four scenarios", "frames/s", four, best, at_least(0.90)))
            small = marker_clip(folder / "small.mp4", frames=300, size=(320, 192)).name
            case = Case(folder, small, "640.onnx", 300)
            reference, inside = await alternate(
                rounds,
                lambda: to_thread.run_sync(best_bare, folder / "640.onnx"),
                partial(through_the_service, case, service, 1),
            )
            rows.append(
                Row("4", "nano at 640×640, tiny pictures", "inferences/s", inside, reference, at_least(0.95))
            )
    return rows


if __name__ == "__main__":
    command(__doc__, measure)
