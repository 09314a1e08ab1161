"""Detect in a run's sampled frames, and notice a detector that never works."""

from ..concurrency.threads import DedicatedThread
from ..detectors.base import Detector, DetectorFactory
from ..detectors.warm_up import RebuiltDetector
from ..domain.pins import Pins
from ..domain.prediction import Detection
from ..domain.reason import ScenarioWarning
from ..predictions.checkpoint import Checkpoint
from .pipeline import FrameTask

MAX_FAILURES = 20
"""Frames in which a detector must have failed, and in none worked, before the run gives up."""


class RunDetector:
    """A run's detector, as its pipeline calls it.

    A live source cannot be read again: its detector's warm-up begins where the run begins.
    """

    def __init__(self, detector: Detector, make: DetectorFactory, claimed: Checkpoint) -> None:
        """`claimed` says what became of the frames before the run."""
        counters = claimed.counters
        self._detector = detector
        self._rebuilt = (
            RebuiltDetector(make, detector.warm_up, counters.sampled)
            if detector.warm_up is not None
            else None
        )
        self._thread = DedicatedThread("detect", self._detect) if detector.is_single_threaded else None
        self._has_worked = counters.sampled > counters.failed
        self._failures = 0
        self._earlier_error = claimed.last_detector_error
        self._error = ""

    @property
    def pins(self) -> Pins:
        """What the detections depend on besides the detector's configuration."""
        return self._detector.pins

    @property
    def warnings(self) -> tuple[ScenarioWarning, ...]:
        """What a user should know of the detections so far."""
        return self._detector.warnings

    def __call__(self, task: FrameTask) -> tuple[Detection, ...]:
        """Return what is in the picture. Raises whatever the detector raises."""
        try:
            found = self._detect(task) if self._thread is None else self._thread(task)
        except Exception as fault:
            self._error = repr(fault)
            self._failures += 1
            raise
        self._has_worked = True
        return found

    def fault(self, *, is_complete: bool) -> str | None:
        """Return why the run must give up, or None: one frame that works is enough to go on.

        `is_complete`: all frames of the recording were looked at, however few, in this run or before.
        """
        if self._has_worked:
            return None
        if self._failures >= (1 if is_complete else MAX_FAILURES):
            return (
                f"the detector failed in every one of {self._failures} frames,"
                f" the last time with {self._error}"
            )
        if is_complete and self._earlier_error is not None:
            return f"{self._earlier_error}, as in every frame before"
        return None

    def close(self) -> None:
        """End the thread that a single-threaded detector has."""
        if self._thread is not None:
            self._thread.close()

    def _detect(self, task: FrameTask) -> tuple[Detection, ...]:
        assert task.picture is not None  # noqa: S101 - without a picture, there is nothing to detect in
        if self._rebuilt is None or task.sampled is None:
            return self._detector.detect(task.picture, task.frame)
        return self._rebuilt.detect(task.sampled, task.picture, task.frame)
