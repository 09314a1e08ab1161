"""Detecting in a run's sampled frames, and noticing a detector that never works."""

from ..detectors.base import Detector, DetectorFactory
from ..detectors.warm_up import RebuiltDetector
from ..domain.prediction import Detection
from ..predictions.checkpoint import Checkpoint
from .pipeline import Item

HOPELESS = 20
"""Frames in which a detector must have failed, and in none worked, for it to be given up."""


class Detecting:
    """What the pipeline's threads do with each frame.

    A live source cannot be replayed: there a detector remembers from where the run began.
    """

    def __init__(self, detector: Detector, make: DetectorFactory, claimed: Checkpoint) -> None:
        """`claimed` tells of the frames before the run."""
        counters = claimed.counters
        self._detector = detector
        self._rebuilt = (
            RebuiltDetector(make, detector.warm_up, counters.sampled)
            if detector.warm_up is not None
            else None
        )
        self._worked = counters.sampled > counters.failed
        self._failed = 0
        self._last_error_before = claimed.last_detector_error
        self._error = ""

    def __call__(self, item: Item) -> tuple[Detection, ...]:
        """What is in the picture. Raises whatever a detector does."""
        try:
            found = self._detect(item)
        except Exception as fault:
            self._error = repr(fault)
            self._failed += 1
            raise
        self._worked = True
        return found

    def fault(self, *, complete: bool) -> str | None:
        """Why to give up, or None: one frame that works is enough for the detector to be kept.

        `complete`: all frames of the recording were looked at, however few they are, in this run or before.
        """
        if self._worked:
            return None
        if self._failed >= (1 if complete else HOPELESS):
            return (
                f"the detector failed in every one of {self._failed} frames, the last time with {self._error}"
            )
        if complete and self._last_error_before is not None:
            return f"{self._last_error_before}, as in every frame before"
        return None

    def _detect(self, item: Item) -> tuple[Detection, ...]:
        assert item.picture is not None  # noqa: S101 - what has none is not detected in
        if self._rebuilt is None or item.sampled is None:
            return self._detector.detect(item.picture, item.frame)
        return self._rebuilt.detect(item.sampled, item.picture, item.frame)
