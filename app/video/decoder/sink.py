"""The frame sink of a decoder process: pictures go into shared memory, the rest over the socket."""

import socket
from collections.abc import MutableMapping
from queue import Empty, LifoQueue
from threading import Lock, Semaphore
from typing import Any

import msgspec
import structlog

from ...domain.picture import Image
from ..pictures import AvPicture
from ..reading import ReadStatus, SampledFrame, Watermark
from .protocol import Alive, DecoderMessage, LogLine, MemoryNeeded, ReadEnded, SharedFrame
from .shared_frames import copy


class SharedMemorySink:
    """A FrameSink that sends to the run's process. Only `free` and `stop` are for other threads.

    A recording waits for a free slot. A live source keeps its newest picture until a slot is free.
    """

    def __init__(self, link: socket.socket, memory: Image, slots: int) -> None:
        self.capacity = slots
        self._link = link
        self._memory = memory
        self._is_live = False
        self._sending = Lock()
        self._is_stopped = False
        self._granted = Semaphore(0)
        self._held: SampledFrame | None = None
        self._free: LifoQueue[int | None] = LifoQueue()  # the slot used last is in the processor's cache
        for slot in reversed(range(slots)):
            self._free.put(slot)

    def note(self, status: ReadStatus) -> None:
        """Send the newest status."""
        self._is_live = status.is_live
        self.send(status)

    def put(self, entry: SampledFrame | Watermark) -> bool:
        """Send an entry, or wait until it can be sent. Returns False if no more are wanted."""
        if self._held is not None:
            self._show(self._held)
        if self._held is not None:
            if isinstance(entry, Watermark):
                return not self._is_stopped  # a later one says as much
            self.send(Watermark(self._held.frame + 1, self._held.time, dropped=1))
        if isinstance(entry, Watermark):
            self.send(entry)
        else:
            self._show(entry)
        return not self._is_stopped

    def end(self, status: ReadStatus) -> None:
        """Send the last status."""
        self.send(ReadEnded(status))

    def free(self, slot: int) -> None:
        """Allow a slot to be used again."""
        self._free.put(slot)

    def stop(self) -> None:
        """Take no more: whoever waits for a slot is let go."""
        self._is_stopped = True
        self._free.put(None)

    def ask_for_memory(self, size: int) -> None:
        """Wait until the run grants so many bytes. If it does not, it ends this process."""
        self.send(MemoryNeeded(size))
        self._granted.acquire()

    def grant_memory(self) -> None:
        """Let the caller that asked go on."""
        self._granted.release()

    def send(self, message: DecoderMessage) -> None:
        """Send a message; nothing happens if nobody listens any more."""
        line = msgspec.json.encode(message) + b"\n"
        with self._sending:
            try:
                self._link.sendall(line)
            except OSError:
                self._is_stopped = True

    def send_alive(self, *_: object) -> None:
        """Say that the main thread makes progress: a signal handler runs only between its steps."""
        if self._sending.acquire(blocking=False):
            self._sending.release()
            self.send(Alive())

    def log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        """Send a line of the log: a structlog processor that ends the chain."""
        fields = {name: None if value is None else str(value) for name, value in event.items()}
        self.send(LogLine(level, fields.pop("event") or "", fields))  # type: ignore[arg-type]
        raise structlog.DropEvent

    def _show(self, frame: SampledFrame) -> None:
        pixels = None
        if isinstance(frame.picture, AvPicture):
            try:
                slot = self._free.get(block=not self._is_live)
            except Empty:
                self._held = frame
                return
            if slot is None:
                return
            pixels = copy(frame.picture.frame, frame.picture.orientation, self._memory, slot)
        self._held = None
        self.send(SharedFrame(frame.frame, frame.time, frame.sampled, frame.error, pixels))
