"""The frames of one run between decoding and storing: detected in parallel, given out in frame order.

Decoding and detecting run in threads; the event loop only takes what is done, many frames at a time.
Everything is bounded: a slow detector or database slows a recording's decoder down, and costs a live source
its oldest frames.
"""

import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Lock

from msgspec import Struct

from ...detectors.base import PostponedError
from ...domain.picture import Picture
from ...domain.prediction import DETECTOR_FAILED, Detection
from ...video.reading import ReadStatus, SampledFrame, Watermark
from .tasks import FrameTask
from .workers import Workers

MAX_LINE = 4096
"""Entries that may wait to be stored before decoding waits too."""

MAX_STATUSES = 1000
"""Statuses of a live source that may wait to be taken: the oldest are dropped."""

MAX_TAKEN = 1024
"""Entries taken at once: a larger batch takes longer for each frame, and blocks the event loop."""

STEP_FAILED = "the analysis failed: "
"""What a frame's error begins with if the ordered step raised."""


_Result = tuple[tuple[Detection, ...] | None, str | None]  # detections or an error
Detect = Callable[[FrameTask], tuple[Detection, ...]]
OrderedStep = Callable[[FrameTask], tuple[Detection, ...] | None]
"""Sees each frame that will be stored, in frame order and one at a time, in a worker's thread.

It is given a frame with its detections or its error, but without its picture unless an EarlyEncoder is there.
Frames that are read again to warm up a detector come too; dropped frames do not. What it returns replaces the
detections, unless it is None. It must be a pure function of the frames so far. If it raises, that frame is
stored with the error, and the next frame follows.
"""
EarlyEncoder = Callable[[int, Picture], bytes | None]
"""Keeps the picture of a frame of a live source, in which something was found, for the ordered step.

The step is given the picture itself if the frame is the next one for it; if others come before it, they could
hold up the decoder, which has few pictures: then it is given what this returns.
"""


class Taken(Struct):
    """Entries that are done, in order, with the newest status of the source.

    `changes`: the statuses that a live source has had since the last time, in order.
    `is_over`: nothing more will come. `is_all_done`: it is over, and no frame was left behind.
    """

    entries: list[FrameTask | Watermark]
    status: ReadStatus
    is_over: bool
    is_all_done: bool
    changes: list[ReadStatus] = []

    @property
    def is_complete(self) -> bool:
        """Whether a recording was read to its end, and all of it was taken."""
        return self.is_all_done and self.status.is_completed


class Pipeline:
    """A FrameSink whose frames up to `parallel` workers detect in at the same time.

    `note`, `put` and `end` are for the reading thread, everything else is for the event loop. `wake` is
    called from any thread: when `take` would give something of a recording after it gave nothing, or a frame
    of a live source; when a live source's status changed; and once all is done (if `is_patient`, only then).
    """

    def __init__(
        self,
        detect: Detect,
        *,
        workers: Workers,
        parallel: int,
        wake: Callable[[], None],
        ordered_step: OrderedStep | None = None,
        encode: EarlyEncoder | None = None,
        is_patient: bool = False,
    ) -> None:
        self.capacity = parallel + 2
        """The most sampled frames of a recording that have their pictures at the same time."""
        self._detect = detect
        self._ordered_step = ordered_step
        self._encode = encode
        self._is_patient = is_patient
        self._wake = wake
        self._workers = workers
        self._parallel = parallel
        self._lock = Lock()
        self._may_put = Condition(self._lock)
        self._line: deque[FrameTask | Watermark] = deque()  # not taken yet
        self._undetected: deque[FrameTask] = deque()
        self._unstepped: deque[FrameTask] = deque()  # stays empty without an ordered step
        self._requests = 0  # to workers that have not ended
        self._is_begun = False
        self._resume_at = 0.0  # of time.monotonic(): the detector wants no picture before
        self._busy = 0  # workers with a frame
        self._is_stepping = False
        self._status = ReadStatus()
        self._changes: deque[ReadStatus] = deque(maxlen=MAX_STATUSES)
        self._length: int | None = None  # of the recording, in frames
        self._is_closing = False
        self._is_ended = False
        self._is_stopped = False
        self._loop_waits = True

    def note(self, status: ReadStatus) -> None:
        """Take the newest status of the source; a recording's is seen with its first frame."""
        with self._lock:
            self._status = status
            self._length = status.media.frames if status.media else None
            if status.is_live:
                self._changes.append(status)
                self._wake()

    def put(self, entry: SampledFrame | Watermark) -> bool:
        """Take what was decoded, waiting for room. Returns False if the pipeline was stopped."""
        with self._lock:
            if self._is_stopped:  # a later entry would say that a frame is done which was refused
                return False
            if isinstance(entry, Watermark):
                self._is_closing = entry.end == self._length
                self._put_watermark(entry)
            elif self._make_room(entry):
                self._is_closing = entry.frame + 1 == self._length
                self._put_frame(entry)
            self._announce()
            return not self._is_stopped

    def end(self, status: ReadStatus) -> None:
        """Take the last status. Nothing more will be put."""
        with self._lock:
            self._status = status
            self._is_ended = True
            if not self._requests:
                self._request_worker()
            self._announce()

    def stop(self) -> None:
        """Finish the frames in which detection has begun, and nothing else."""
        with self._lock:
            self._is_stopped = True
            self._undetected.clear()
            self._may_put.notify()
            self._announce()

    def take(self) -> Taken:
        """Return what is done, up to the first frame that is not; if there is more, MAX_TAKEN entries."""
        entries: list[FrameTask | Watermark] = []
        self._workers.replace_stuck()
        with self._lock:
            if not self._requests:
                self._request_worker()
            while self._is_ready() and len(entries) < MAX_TAKEN:
                entries.append(self._line.popleft())
            is_over = self._is_over()
            self._loop_waits = (self._status.is_live or not entries) and not is_over
            self._may_put.notify()
            changes = list(self._changes)
            self._changes.clear()
            return Taken(entries, self._status, is_over, is_over and not self._line, changes)

    def _make_room(self, frame: SampledFrame) -> bool:
        """Wait for room in the line, or drop frames for it. Returns whether there is room."""
        if not self._status.is_live:
            while not self._is_stopped and (
                len(self._undetected) + self._busy >= self.capacity or len(self._line) >= MAX_LINE
            ):
                self._may_put.wait()
            return not self._is_stopped
        if len(self._line) >= MAX_LINE:
            self._put_watermark(Watermark(frame.frame + 1, frame.time, dropped=1))
            return False
        if self._undetected and len(self._undetected) + self._busy > self._parallel:
            oldest = self._undetected.popleft()
            oldest.picture = None
            oldest.is_dropped = oldest.is_done = True
        return not self._is_stopped

    def _put_frame(self, frame: SampledFrame) -> None:
        picture = frame.picture
        size = (picture.width, picture.height) if picture else None
        task = FrameTask(frame.frame, frame.time, frame.sampled, picture, frame.error, size)
        self._line.append(task)
        if self._ordered_step is not None:
            self._unstepped.append(task)
        elif task.error is not None:
            task.is_done = True
        if task.error is None:
            self._undetected.append(task)
        if not task.is_done and self._is_worth_a_request():
            self._request_worker()

    def _put_watermark(self, watermark: Watermark) -> None:
        last = self._line[-1] if self._line else None
        if isinstance(last, Watermark):
            dropped = last.dropped + watermark.dropped
            self._line[-1] = Watermark(watermark.end, watermark.time, dropped)
        else:
            self._line.append(watermark)

    def _is_worth_a_request(self) -> bool:
        """Return whether a worker is needed now: to wake one for each frame costs more than a cheap detector.

        What waits is looked at when half of the capacity is taken, or when the event loop calls `take`.
        """
        return (
            self._status.is_live
            or self._requests > 0
            or not self._is_begun
            or len(self._undetected) >= self.capacity // 2
        )

    def _request_worker(self) -> None:
        if self._has_work() and self._requests < self._parallel:
            self._workers.submit(self._work)
            self._requests += 1
            self._is_begun = True

    def _has_work(self) -> bool:
        return self._may_detect() or self._is_step_due()

    def _may_detect(self) -> bool:
        return bool(self._undetected) and time.monotonic() >= self._resume_at

    def _is_step_due(self) -> bool:
        while self._unstepped and self._unstepped[0].is_dropped:
            self._unstepped.popleft()
        return bool(self._unstepped) and self._unstepped[0].is_detected and not self._is_stepping

    def _work(self) -> bool:
        """Take one frame through the ordered step if it is due, else detect in one; in a worker's thread.

        Returns whether there is more to do.
        """
        with self._lock:
            is_step = self._is_step_due()
            if is_step:
                task = self._unstepped.popleft()
                self._is_stepping = True
            elif self._may_detect():
                task = self._undetected.popleft()
                if not self._undetected:  # if woken for each frame, the decoder would sleep after each
                    self._may_put.notify()
            else:
                self._requests -= 1
                return False
            self._busy += 1
        try:
            detections, error = self._step(task) if is_step else self._detect_in(task)
        except PostponedError as postponed:
            with self._lock:
                self._put_back(task, postponed.retry_after)
                return False
        if is_step or not detections:
            task.picture = None
        else:
            self._release(task)
        with self._lock:
            task.detections, task.error = detections, error
            if is_step:
                self._is_stepping = False
            task.is_done = is_step or self._ordered_step is None
            self._busy -= 1
            has_more = self._has_work()
            if not has_more:
                self._requests -= 1
            self._announce()
            return has_more

    def _release(self, task: FrameTask) -> None:
        """Release the picture of a frame in which something was found, unless the next step is given it."""
        if self._encode is not None and self._status.is_live and task.picture is not None:
            with self._lock:
                is_next = bool(self._unstepped) and self._unstepped[0] is task  # until it was its turn
            if is_next:
                return
            task.jpeg = self._encode(task.frame, task.picture)
        task.picture = None

    def _put_back(self, task: FrameTask, seconds: float) -> None:
        """Have a frame detected again after so many seconds. `take` looks at what waits often enough."""
        self._busy -= 1
        self._requests -= 1
        self._resume_at = max(self._resume_at, time.monotonic() + seconds)
        if not self._is_stopped:
            self._undetected = deque(sorted((task, *self._undetected), key=lambda each: each.frame))
        self._announce()

    def _detect_in(self, task: FrameTask) -> _Result:
        try:
            return self._detect(task), None
        except PostponedError:
            raise
        except Exception as fault:  # whatever a detector does, it costs this frame alone
            return None, f"{DETECTOR_FAILED}{fault!r}"

    def _step(self, task: FrameTask) -> _Result:
        assert self._ordered_step is not None  # noqa: S101 - without one, no step is ever due
        try:
            replaced = self._ordered_step(task)
        except Exception as fault:
            return None, task.error or f"{STEP_FAILED}{fault!r}"
        return task.detections if replaced is None or task.error else replaced, task.error

    def _announce(self) -> None:
        # The last frame waits for the end, which follows at once, to be stored with it (measured: 19 % less
        # CPU time for a recording of one frame).
        waits_for_end = self._is_closing or (self._is_patient and not self._status.is_live)
        may_wait = waits_for_end and not self._is_ended
        is_over = self._is_ending() or self._is_all_done()
        if is_over or (self._loop_waits and self._has_news() and not may_wait):
            self._loop_waits = False
            self._wake()

    def _is_all_done(self) -> bool:
        return self._is_ended and not (self._busy or self._undetected or self._unstepped)

    def _is_ready(self) -> bool:
        return bool(self._line) and self._is_done(self._line[0])

    @staticmethod
    def _is_done(entry: FrameTask | Watermark) -> bool:
        return isinstance(entry, Watermark) or entry.is_done

    def _has_news(self) -> bool:
        """Return whether the event loop should take what is ready: of a live source, a frame or the end."""
        is_going_on = self._status.is_live and not self._is_ended
        if is_going_on and self._line and isinstance(self._line[0], Watermark):
            return len(self._line) > 1 and self._is_done(self._line[1])
        return self._is_ready()

    def _is_ending(self) -> bool:
        if self._busy or not (self._is_stopped or (self._is_ended and not self._line)):
            return False
        return not self._is_step_due()

    def _is_over(self) -> bool:
        return self._is_ending() and not self._is_ready()
