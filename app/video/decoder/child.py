"""The decoder process of one run: `python -m app.video.decoder.child`, with a socket as its stdin.

It reads exactly as a thread of the runner would. It ends with the run, or with the run's process.
"""

import ctypes
import mmap
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import MutableMapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, LifoQueue
from threading import Lock
from typing import Any, BinaryIO

import msgspec
import numpy as np
import structlog

from ...concurrency.threads import NICENESS, start_thread
from ...domain.networks import Networks
from ...domain.picture import Image
from ...runner.pipeline import Item, Mark
from ..pictures import AvPicture
from ..reader import Reader
from .protocol import Alive, Ended, Logged, Message, Noted, Order, Passed, Shown
from .shared_frames import SLOT, copy

_MEMORY = 2560 * 2**20  # bytes: 16 of the largest piece that FFmpeg may take at once
_FILES = 128
_GRACE = 2.0  # seconds to end in
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38


class Outlet:
    """The way to a run's pipeline. Only `free` and `stop` are for other threads than the reading one.

    A recording waits for a free slot; a live source keeps the newest picture until there is one.
    """

    def __init__(self, link: socket.socket, memory: Image, slots: int) -> None:
        self.live = False
        self.closing = False
        self._link = link
        self._memory = memory
        self._sending = Lock()
        self._stopped = False
        self._held: Item | None = None
        self._free: LifoQueue[int | None] = LifoQueue()  # the slot used last is in the processor's cache
        for slot in reversed(range(slots)):
            self._free.put(slot)

    def put(self, entry: Item | Mark) -> bool:
        """Send it, or wait; False where nothing more is wanted."""
        if self._held is not None:
            self._show(self._held)
        if self._held is not None:
            if isinstance(entry, Mark):
                return not self._stopped  # a later one says as much
            self.send(Passed(self._held.frame + 1, self._held.time, dropped=1))
        if isinstance(entry, Mark):
            self.send(Passed(entry.end, entry.time, entry.dropped))
        else:
            self._show(entry)
        return not self._stopped

    def end(self) -> None:
        """Nothing: the process says it as its last word."""

    def free(self, slot: int) -> None:
        """A slot may be used again."""
        self._free.put(slot)

    def stop(self) -> None:
        """Nothing more is wanted."""
        self._stopped = True
        self._free.put(None)

    def send(self, message: Message) -> None:
        """Say something; nothing where nobody listens any more."""
        line = msgspec.json.encode(message) + b"\n"
        with self._sending:
            try:
                self._link.sendall(line)
            except OSError:
                self._stopped = True

    def beat(self, *_: object) -> None:
        """Say that this thread gets on: as a signal's handler it is run between its steps, and only there."""
        if self._sending.acquire(blocking=False):
            self._sending.release()
            self.send(Alive())

    def log(self, _logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        """Send a line of the log to where all others are written."""
        fields = {name: None if value is None else str(value) for name, value in event.items()}
        self.send(Logged(level, fields.pop("event") or "", fields))  # type: ignore[arg-type]
        raise structlog.DropEvent

    def _show(self, item: Item) -> None:
        pixels = None
        if isinstance(item.picture, AvPicture):
            try:
                slot = self._free.get(block=not self.live)
            except Empty:
                self._held = item
                return
            if slot is None:
                return
            pixels = copy(item.picture.frame, item.picture.rotation, self._memory, slot)
        self._held = None
        self.send(Shown(item.frame, item.time, item.sampled, item.error, pixels))


def confine() -> None:
    """Give up what decoding does not need, so that what it does wrong harms less."""
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_NOFILE: _FILES}
    if sys.platform == "linux":  # elsewhere it bounds nothing of what is taken in large pieces
        limits[resource.RLIMIT_DATA] = _MEMORY
        libc = ctypes.CDLL(None)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        # Where memory runs out, this process is to be ended rather than a database.
        with suppress(OSError):  # a container may keep it from being written
            Path("/proc/self/oom_score_adj").write_text("500")
    for limit, wanted in limits.items():
        _, most = resource.getrlimit(limit)
        most = wanted if most == resource.RLIM_INFINITY else min(most, wanted)
        resource.setrlimit(limit, (most, most))


def decode(link: socket.socket, lines: BinaryIO) -> None:
    """Carry out the order that comes first."""
    order = msgspec.json.decode(lines.readline(), type=Order)
    memory = np.frombuffer(mmap.mmap(order.memory, order.slots * SLOT), np.uint8)
    outlet = Outlet(link, memory, order.slots)
    structlog.configure(processors=[structlog.processors.format_exc_info, outlet.log])
    reader = Reader(
        order.source,
        Path(order.media_root),
        Networks(order.networks),
        order.sampling,
        persistent=order.persistent,
        wake=lambda: outlet.send(Noted(reader.state, reader.opened, outlet.live)),
    )
    start_thread("orders", _listen, lines, reader, outlet)
    signal.signal(signal.SIGALRM, outlet.beat)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    reader.read(order.checkpoint, outlet)
    fault = reader.fault
    outlet.send(Ended(reader.completed, str(fault) if fault else None, bool(fault and fault.retryable)))


def _listen(lines: BinaryIO, reader: Reader, outlet: Outlet) -> None:
    """Until nothing more is wanted, or nobody is there to want it."""
    for line in lines:
        outlet.free(int(line))
    reader.stop()
    outlet.stop()
    time.sleep(_GRACE)
    os._exit(1)


def main() -> None:
    """Confine this process, and decode."""
    confine()
    link = socket.socket(fileno=0)
    decode(link, link.makefile("rb"))
    os._exit(0)  # there is nothing to put away, and a thread that listens


if __name__ == "__main__":
    main()
