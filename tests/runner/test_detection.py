"""Detectors that fail: once, always, or only at first."""

from collections.abc import Iterable
from functools import partial
from itertools import cycle
from pathlib import Path

import av
import pytest

from app.detectors.base import Detector
from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import Mock
from app.domain.picture import Picture
from app.domain.prediction import Detection
from app.predictions.checkpoint import Checkpoint, Counters
from app.runner.detection import MAX_FAILURES, RunDetector
from app.runner.frames.tasks import FrameTask
from app.video.pictures import AvPicture
from tests.support.clips import marker_picture

NONE = Counters()


class Fallible(Detector):
    """A detector that fails in the frames that say so."""

    def __init__(self, fails: Iterable[bool]) -> None:
        self._fails = iter(fails)

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:  # noqa: ARG002
        if next(self._fails):
            raise ValueError("the model takes 640 × 640")
        return ()


def after(
    fails: Iterable[bool], frames: int, counters: Counters = NONE, hopeless: str | None = None
) -> RunDetector:
    """Return a detector after so many frames."""
    make = partial(make_detector, Mock(), ModelCache(Path()))
    claimed = Checkpoint(counters.sampled, False, None, 0, 0, counters, 0.0, 0.0, hopeless)
    detector = RunDetector(Fallible(fails), make, claimed)
    picture = AvPicture(av.VideoFrame.from_ndarray(marker_picture(0), "gray"))
    for frame in range(frames):
        try:
            detector(FrameTask(frame, frame / 30, frame, picture))
        except ValueError:
            continue
    return detector


def test_a_detector_that_fails_in_each_of_the_first_frames_is_given_up() -> None:
    assert after(cycle([True]), MAX_FAILURES - 1).fault(is_complete=False) is None
    fault = after(cycle([True]), MAX_FAILURES).fault(is_complete=False)
    assert fault is not None
    assert "failed in every one of 20 frames" in fault
    assert "takes 640 × 640" in fault


def test_one_frame_that_works_is_enough_to_keep_a_detector() -> None:
    fails = [True] * (MAX_FAILURES - 1) + [False] + [True] * MAX_FAILURES
    assert after(fails, len(fails)).fault(is_complete=True) is None


@pytest.mark.parametrize(("failed", "given_up"), [(100, True), (99, False)])
def test_what_was_stored_before_the_run_counts(failed: int, given_up: bool) -> None:
    found = after(cycle([True]), MAX_FAILURES, Counters(sampled=100, failed=failed))
    assert (found.fault(is_complete=False) is not None) == given_up


def test_of_a_short_recording_all_frames_must_have_failed() -> None:
    assert after([True, True, True], 3).fault(is_complete=True) is not None
    assert after([True, False, True], 3).fault(is_complete=True) is None
    assert after([], 0).fault(is_complete=True) is None


def test_what_failed_in_all_frames_before_counts_at_the_end_and_not_before_it() -> None:
    before = Counters(sampled=100, failed=100)
    error = "the detector failed: ValueError('the model takes 640 × 640')"
    ended = after([], 0, before, error).fault(is_complete=True)
    assert ended is not None
    assert "takes 640 × 640" in ended
    assert after([], 0, before, error).fault(is_complete=False) is None  # it may have been mended
    assert after([False], 1, before, error).fault(is_complete=True) is None
    assert after([], 0, before).fault(is_complete=True) is None  # none of them could be decoded
