"""Each inference backend that works here, compared with ONNX Runtime in fp32: pictures in, detections out.

Beside the speed stands how much processor time a picture costs, which other work on the machine changes less,
and how many of the boxes are the same as in fp32. They come from a network of random
weights that reports its features, in the same pictures: a box is the same if its label is, and it overlaps by
at least 0.9.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event

import cv2
import numpy as np
from anyio import to_thread

from app.detectors.backends.choice import make_backend
from app.detectors.backends.session import Backend, BackendError, Precision
from app.detectors.base import Detector
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Onnx
from app.domain.networks import Networks
from app.domain.picture import Picture
from app.domain.prediction import Detection
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.recording import Recording
from benchmarks import network
from benchmarks.table import Row, alternate, at_least, command
from tests.support.clips import marker_clip

CANDIDATES: tuple[tuple[str, Precision], ...] = (
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "fp16"),
    ("openvino:GPU", "fp16"),
    ("cuda", "fp32"),
    ("tensorrt", "fp32"),
    ("tensorrt", "fp16"),
    ("coreml", "fp32"),
)
SIZES = ((640, 640), (192, 320))
CORES = os.cpu_count() or 1
_SECONDS = 3.0
_PICTURES = 12
_SAME = 0.9  # overlap


def backends() -> list[Backend]:
    """Return those that work here; print why the others do not."""
    found: list[Backend] = []
    for name, precision in CANDIDATES:
        try:
            found.append(make_backend(name, precision, CORES))
        except BackendError as error:
            print(f"left out: {error}", flush=True)
    return found


def pictures(folder: Path) -> list[Picture]:
    """Return pictures of a 720p clip, decoded as a runner decodes them."""
    clip = marker_clip(folder / "clip.mp4", frames=_PICTURES, size=(1280, 720)).name
    with open_video(parse_source(clip), folder, Networks(""), stop=Event()) as video:
        assert isinstance(video, Recording)
        sampled = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
    return [entry.picture for entry in sampled if entry.picture is not None]


def pictures_per_second(detector: Detector, seen: list[Picture], spent: list[float]) -> float:
    """Return how many pictures a second one thread for each core detects in.

    The milliseconds of processor time for each picture are added to `spent`.
    """
    began, before = time.perf_counter(), time.process_time()

    def loop(first: int) -> int:
        done = 0
        while time.perf_counter() - began < _SECONDS:
            detector.detect(seen[(first + done) % len(seen)], done)
            done += 1
        return done

    with ThreadPoolExecutor(CORES) as pool:
        done = sum(pool.map(loop, range(CORES)))
    spent.append((time.process_time() - before) * 1000 / done)
    return done / (time.perf_counter() - began)


def agreement(detector: Detector, reference: Detector, seen: list[Picture]) -> str:
    """Return in words how many boxes of the reference the detector finds too."""
    total = same = extra = 0
    moved: list[float] = [0.0]
    for number, picture in enumerate(seen):
        expected, found = (list(each.detect(picture, number)) for each in (reference, detector))
        total += len(expected)
        for detection in expected:
            match = max(
                (each for each in found if each.label == detection.label),
                key=lambda each: _overlap(each, detection),
                default=None,
            )
            if match is not None and _overlap(match, detection) >= _SAME:
                same += 1
                found.remove(match)
                moved.append(abs(match.confidence - detection.confidence))
        extra += len(found)
    return (
        f"{same} of {total} boxes as in fp32 ({same / max(1, total):.1%}), {extra} others;"
        f" confidences differ by at most {max(moved):.3f}"
    )


def _overlap(one: Detection, other: Detection) -> float:
    """Return the intersection over union of two boxes."""
    corners = np.array([one.box, other.box])
    low, high = corners[:, :2].max(axis=0), corners[:, 2:].min(axis=0)
    shared = float(np.prod(np.clip(high - low, 0, None)))
    areas = np.prod(corners[:, 2:] - corners[:, :2], axis=1).sum()
    return shared / (float(areas) - shared)


def _goal(backend: Backend, height: int) -> float | None:
    """Return the goal: twice ONNX Runtime's speed if the processor multiplies bf16 (AMX)."""
    return 2.0 if (backend.name, backend.precision, height) == ("openvino:CPU", "bf16", 640) else None


async def measure(rounds: int) -> list[Row]:
    """Alternate between ONNX Runtime and the others, `rounds` times."""
    cv2.setNumThreads(1)  # as app.process does
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        seen = await to_thread.run_sync(pictures, folder)
        others = backends()
        for height, width in SIZES:
            network.save(folder / f"{height}.onnx", height, width)
            network.save(folder / f"{height}-features.onnx", height, width, reports_features=True)
            caches = [ModelCache(folder), *(ModelCache(folder, backend) for backend in others)]
            detectors = [make_detector(Onnx(f"{height}.onnx"), cache) for cache in caches]
            spent: list[list[float]] = [[] for _ in detectors]
            plain, *found = await alternate(
                rounds,
                *(
                    partial(to_thread.run_sync, pictures_per_second, each, seen, costs)
                    for each, costs in zip(detectors, spent, strict=True)
                ),
            )
            plain_ms, *costs_ms = map(median, spent)
            exact, *compared = [make_detector(Onnx(f"{height}-features.onnx"), cache) for cache in caches]
            for backend, speed, ms, detector in zip(others, found, costs_ms, compared, strict=True):
                goal = _goal(backend, height)
                boxes = await to_thread.run_sync(agreement, detector, exact, seen)
                rows.append(
                    Row(
                        "",
                        f"nano at {width}×{height}, {backend.name} {backend.precision}",
                        "pictures/s",
                        speed,
                        plain,
                        None if goal is None else at_least(goal),
                        f"{ms:.0f} ms of processor time instead of {plain_ms:.0f}; {boxes}",
                    )
                )
    return rows


if __name__ == "__main__":
    command(__doc__, measure)
