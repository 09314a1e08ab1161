"""Detect in a run's sampled frames, and notice a detector that never works."""

import math
import time

from ..concurrency.threads import DedicatedThread
from ..detectors.base import Detector, DetectorFactory, PostponedError, UnusableError
from ..detectors.warm_up import RebuiltDetector
from ..domain.pins import Pins
from ..domain.prediction import Detection
from ..domain.reason import DetectorWait, ScenarioWarning
from ..predictions.checkpoint import Checkpoint
from .frames.tasks import FrameTask
from .live_pictures import LiveTaker

WAIT_SHOWN_AFTER = 1.0
"""Seconds that a detector waits for its server before that is shown: it may just have been restarted."""

MAX_FAILURES = 20
"""Frames in which a detector must have failed, and in none worked, before the run gives up."""


class RunDetector:
    """A run's detector, as its pipeline calls it.

    A live source cannot be read again: its detector's warm-up begins where the run begins.
    """

    def __init__(
        self,
        detector: Detector,
        make: DetectorFactory,
        claimed: Checkpoint,
        live: LiveTaker | None = None,
    ) -> None:
        """`claimed` says what became of the frames before the run. `live` is offered each frame."""
        self._live = live
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
        self._unusable: str | None = None
        self._waits_for = ""
        self.waits_since: float | None = None
        """Since when no frame could be detected in, of `time.monotonic()`; None if it goes on."""

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
        if self._live is not None and task.picture is not None:
            self._live.offer(task.frame, task.time, task.picture)
        try:
            found = self._detect(task) if self._thread is None else self._thread(task)
        except PostponedError as postponed:
            self._waits_for = str(postponed) or self._waits_for
            self.waits_since = self.waits_since or time.monotonic()
            raise
        except UnusableError as fault:
            self._unusable = str(fault)
            raise PostponedError(self._unusable, math.inf) from fault
        except Exception as fault:
            self.waits_since = None
            self._error = repr(fault)
            self._failures += 1
            raise
        self._has_worked, self.waits_since = True, None
        return found

    @property
    def wait(self) -> DetectorWait | None:
        """What the detector waits for, None if it goes on."""
        since = self.waits_since
        if since is None or not self._waits_for or time.monotonic() - since < WAIT_SHOWN_AFTER:
            return None
        return DetectorWait(self._waits_for, self._detector.tries)

    def fault(self, *, is_complete: bool) -> str | None:
        """Return why the run must give up, or None: one frame that works is enough to go on.

        `is_complete`: all frames of the recording were looked at, however few, in this run or before.
        """
        if self._unusable is not None or self._has_worked:
            return self._unusable
        if self._failures >= (1 if is_complete else MAX_FAILURES):
            return (
                f"the detector failed in every one of {self._failures} frames,"
                f" the last time with {self._error}"
            )
        if is_complete and self._earlier_error is not None:
            return f"{self._earlier_error}, as in every frame before"
        return None

    def abandon(self) -> None:
        """Wait for no server any more."""
        self._detector.close()

    def close(self) -> None:
        """Abandon what waits for a server, take no pictures, and end a single-threaded detector's thread."""
        self.abandon()
        if self._live is not None:
            self._live.close()
        if self._thread is not None:
            self._thread.close()

    def _detect(self, task: FrameTask) -> tuple[Detection, ...]:
        assert task.picture is not None  # noqa: S101 - without a picture, there is nothing to detect in
        if self._rebuilt is None or task.sampled is None:
            return self._detector.detect(task.picture, task.frame)
        return self._rebuilt.detect(task.sampled, task.picture, task.frame)
