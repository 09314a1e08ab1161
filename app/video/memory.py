"""Bound what hostile videos take of this process's memory together: large ones have turns.

Without it, each of ten small files may make FFmpeg take more than a gigabyte at the same time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Event

from av.video.stream import VideoStream

from .errors import VideoError

ALLOWANCE = 480 * 2**20
"""Bytes that each index and each decoder may take without a turn: H.264 in 4096x3072 with 16 references."""

SHARED = 2048 * 2**20
"""Bytes that all take together beyond their allowances: a film of 8192x4352 with 16 references needs half."""

MAX_PIXELS_OF_ALL = 4096 * 3072
"""Pixels of a picture up to which a decoder stays within its allowance, whatever the codec."""

_PATIENCE = 30.0  # seconds to wait for a turn: recordings of hostile sizes are soon read, films are not
_LOOK_EVERY = 0.25  # seconds
_PER_PIXEL = {"h264": 40, "hevc": 40, "vp9": 20, "av1": 20}
_OTHERS_PER_PIXEL = 10
"""Bytes that a decoder takes for each pixel of its pictures, with as many references as the codec allows.

H.264 took 37 (measured).
"""


class VideoMemory:
    """What is taken of the shared memory. In a decoder process, `ask` takes it of the runner's process."""

    def __init__(self, total: int = SHARED) -> None:
        self.ask: Callable[[int], None] | None = None
        self._total = total
        self._taken = 0
        self._changed = Condition()

    @contextmanager
    def reserved(self, size: int, stop: Event, name: str) -> Iterator[None]:
        """Hold the part of `size` bytes that is beyond the allowance, for the source called `name`.

        Raises:
            VideoError: it did not become free in time, or before `stop` was set.
        """
        beyond = size - ALLOWANCE
        if beyond <= 0:
            yield
        elif self.ask is not None:
            self.ask(size)  # what is taken is given back when this process ends
            yield
        else:
            self._take(beyond, stop, name)
            try:
                yield
            finally:
                with self._changed:
                    self._taken -= beyond
                    self._changed.notify_all()

    def _take(self, beyond: int, stop: Event, name: str) -> None:
        until = time.monotonic() + _PATIENCE
        with self._changed:
            while self._taken and self._taken + beyond > self._total:
                if stop.is_set() or time.monotonic() > until:
                    raise VideoError(
                        f"{name} needs {(beyond + ALLOWANCE) >> 20:,} MiB for its index or its pictures, and"
                        " other large videos have that memory: start it when they have ended, or start"
                        " another runner",
                        retryable=True,
                    )
                self._changed.wait(_LOOK_EVERY)
            self._taken += beyond


VIDEO_MEMORY = VideoMemory()
"""That of this process."""


def decoder_size(stream: VideoStream) -> int:
    """Return how many bytes the decoder of a stream may take."""
    per_pixel = _PER_PIXEL.get(stream.codec_context.codec.canonical_name, _OTHERS_PER_PIXEL)
    return max(stream.width * stream.height, 0) * per_pixel
