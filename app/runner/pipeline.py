"""decode → detect, overlapped, in threads; what is done comes out in order.

The event loop only takes what is ready, many frames at a time. Everything is bounded: a recording waits for
a slow detector or database, a live source loses the oldest frame that nobody has begun to look at.
"""

from collections import deque
from collections.abc import Callable
from threading import Condition, Lock

from msgspec import Struct

from ..domain.picture import Picture
from ..domain.prediction import DETECTOR_FAILED, Detection
from .workers import Workers

MAX_LINE = 4096
"""Frames that may wait to be stored before decoding waits too."""

MAX_TAKEN = 1024
"""Entries taken at once: larger batches take longer for each frame, and keep the event loop from others."""


class Item(Struct, eq=False):
    """A sampled frame on its way. `sampled` is its number among the recording's sampled frames, None where
    the source is live.

    It is done once it has detections or an error, or was dropped; its picture is let go then.
    """

    frame: int
    time: float
    sampled: int | None
    picture: Picture | None
    error: str | None = None
    detections: tuple[Detection, ...] | None = None
    dropped: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing more happens to it."""
        return self.detections is not None or self.error is not None or self.dropped


class Mark(Struct, eq=False):
    """Every frame before `end` is settled once everything ahead of this is. `dropped` sampled frames of
    these had no room even as items."""

    end: int
    time: float
    dropped: int = 0
    is_done: bool = True


class Ready(Struct):
    """What is done and was not taken before, in order. `over`: nothing more will come; `all_done`: and
    nothing was left behind."""

    entries: list[Item | Mark]
    over: bool
    all_done: bool


class Pipeline:
    """One run's line of frames, of which up to `most` workers look at one each.

    `put` and `end` are for the one thread that decodes, everything else is for the event loop. `wake` is
    called, from any thread, when `take` would give something after it gave nothing, and when all is over.
    """

    def __init__(
        self,
        detect: Callable[[Item], tuple[Detection, ...]],
        *,
        workers: Workers,
        most: int,
        wake: Callable[[], None],
    ) -> None:
        self._detect = detect
        self.live = False
        """Set by the decoding thread before it puts anything, where the source cannot be made to wait."""
        self.closing = False
        """Set by the decoding thread before it puts what should be last: what is ready then can wait for
        the end, and be taken with it."""
        self._wake = wake
        self._workers = workers
        self._most = most
        self._lock = Lock()
        self._may_put = Condition(self._lock)
        self._line: deque[Item | Mark] = deque()
        self._pending: deque[Item] = deque()
        self._turns = 0  # that workers do or have been asked for
        self._is_begun = False
        self._busy = 0
        self._ended = False
        self._stopped = False
        self._loop_waits = True
        self.room = most + 2
        """The most sampled frames that a recording has in it with their pictures."""

    def put(self, entry: Item | Mark) -> bool:
        """Hand over what was decoded, waiting for room; False where the pipeline was stopped."""
        with self._lock:
            if self._stopped:  # whatever settles frames after one that was refused would settle that too
                return False
            if isinstance(entry, Mark):
                self._put_mark(entry)
            elif self._make_room(entry):
                self._line.append(entry)
                if not entry.is_done:
                    self._pending.append(entry)
                    if self._is_worth_a_turn():
                        self._ask_for_turn()
            self._announce()
            return not self._stopped

    def end(self) -> None:
        """Nothing more will be put."""
        with self._lock:
            self._ended = True
            if not self._turns:
                self._ask_for_turn()
            self._announce()

    def stop(self) -> None:
        """Finish the frames that detection has begun with, and nothing else."""
        with self._lock:
            self._stopped = True
            self._pending.clear()
            self._may_put.notify()
            self._announce()

    def take(self) -> Ready:
        """What is done, up to the first frame that is not; MAX_TAKEN entries where there may be more."""
        entries: list[Item | Mark] = []
        self._workers.look()
        with self._lock:
            if not self._turns:
                self._ask_for_turn()
            while self._is_ready() and len(entries) < MAX_TAKEN:
                entries.append(self._line.popleft())
            over = self._is_over()
            self._loop_waits = not entries and not over
            self._may_put.notify()
        return Ready(entries, over, over and not self._line)

    def _make_room(self, item: Item) -> bool:
        """Whether there is room for the item in the line, after whatever waiting or dropping it takes."""
        if not self.live:
            while not self._stopped and (
                len(self._pending) + self._busy >= self.room or len(self._line) >= MAX_LINE
            ):
                self._may_put.wait()
            return not self._stopped
        if len(self._line) >= MAX_LINE:
            self._put_mark(Mark(item.frame + 1, item.time, dropped=1))
            return False
        if self._pending and len(self._pending) + self._busy > self._most:
            oldest = self._pending.popleft()
            oldest.dropped = True
            oldest.picture = None
        return not self._stopped

    def _put_mark(self, mark: Mark) -> None:
        last = self._line[-1] if self._line else None
        if isinstance(last, Mark):
            last.end, last.time, last.dropped = mark.end, mark.time, last.dropped + mark.dropped
        else:
            self._line.append(mark)

    def _is_worth_a_turn(self) -> bool:
        """Workers that are faster than the decoder are not woken for each frame: that costs more than a look.

        What waits meanwhile is looked at when half of the room is taken, or when the event loop comes by.
        """
        return self.live or self._turns > 0 or not self._is_begun or len(self._pending) >= self.room // 2

    def _ask_for_turn(self) -> None:
        if self._pending and self._turns < self._most:
            self._workers.offer(self._turn)
            self._turns += 1
            self._is_begun = True

    def _turn(self) -> bool:
        """Look at one frame, in a worker's thread. Returns whether there are more."""
        with self._lock:
            if not self._pending:
                self._turns -= 1
                return False
            self._busy += 1
            item = self._pending.popleft()
            if not self._pending:  # not for each frame: the decoder would wake, decode one, and sleep again
                self._may_put.notify()
        try:
            detections = self._detect(item)
            error = None
        except Exception as fault:  # whatever a detector does, it costs this frame alone
            detections = None
            error = f"{DETECTOR_FAILED}{fault!r}"
        with self._lock:
            item.detections, item.error, item.picture = detections, error, None
            self._busy -= 1
            self._announce()
            more = bool(self._pending)
            if not more:
                self._turns -= 1
            return more

    def _announce(self) -> None:
        if self._is_ending() or (self._loop_waits and self._is_ready() and (self._ended or not self.closing)):
            self._loop_waits = False
            self._wake()

    def _is_ready(self) -> bool:
        return bool(self._line) and self._line[0].is_done

    def _is_ending(self) -> bool:
        return self._busy == 0 and (self._stopped or (self._ended and not self._line))

    def _is_over(self) -> bool:
        return self._is_ending() and not self._is_ready()
