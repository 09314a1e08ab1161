"""The decoder process of one run: `python -m app.video.decoder.child`, with a socket as its stdin.

It reads exactly as a thread of the runner would. It ends with the run, or with the run's process.
"""

import mmap
import os
import signal
import socket
import time
from typing import BinaryIO

import msgspec
import numpy as np
import structlog

from ...concurrency.threads import start_thread
from ..memory import VIDEO_MEMORY
from ..reader import ThreadReader
from .confinement import confine
from .protocol import MEMORY_GRANTED, StartDecoding
from .shared_frames import SLOT
from .sink import SharedMemorySink

_GRACE = 2.0  # seconds to end in


def decode(link: socket.socket, lines: BinaryIO) -> None:
    """Read what the first line asks for, to the end."""
    start = msgspec.json.decode(lines.readline(), type=StartDecoding)
    memory = np.frombuffer(mmap.mmap(start.memory, start.slots * SLOT), np.uint8)
    sink = SharedMemorySink(link, memory, start.slots)
    structlog.configure(processors=[structlog.processors.format_exc_info, sink.log])
    VIDEO_MEMORY.ask = sink.ask_for_memory
    reader = ThreadReader(start.request)
    start_thread("listen", _listen, lines, reader, sink)
    signal.signal(signal.SIGALRM, sink.send_alive)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    reader.read(sink)


def _listen(lines: BinaryIO, reader: ThreadReader, sink: SharedMemorySink) -> None:
    """Free slots until the run wants no more or its process has ended; then end this process."""
    for line in lines:
        if (slot := int(line)) == MEMORY_GRANTED:
            sink.grant_memory()
        else:
            sink.free(slot)
    reader.stop()
    sink.stop()
    time.sleep(_GRACE)  # reading ends by itself in that time, if nothing hangs
    os._exit(1)


def main() -> None:
    """Confine this process, and decode."""
    confine()
    link = socket.socket(fileno=0)
    decode(link, link.makefile("rb"))
    os._exit(0)  # there is nothing to clean up, and the listening thread would hold the process


if __name__ == "__main__":
    main()
