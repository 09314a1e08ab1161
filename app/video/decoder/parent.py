"""Read a source in a process of its own: a crash while decoding ends that process and one run."""

import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from threading import Event

import msgspec
import structlog
from msgspec.structs import replace

from ...concurrency.threads import start_thread
from ..errors import VideoError
from ..memory import VIDEO_MEMORY
from ..reading import FrameSink, ReadFault, ReadRequest, ReadStatus, SampledFrame, Watermark
from .protocol import (
    MEMORY_GRANTED,
    Alive,
    DecoderMessage,
    LogLine,
    MemoryNeeded,
    ReadEnded,
    SharedFrame,
    StartDecoding,
)
from .shared_frames import SLOT, SharedPicture, shared_memory

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-m", f"{__package__}.child")
SILENCE = 60.0
"""Seconds without a message after which the process is killed. Resolving a host name may take 30."""

_GRACE = 5.0  # seconds that the process has to end by itself
_LONGEST_LINE = 2**20


class ProcessReader:
    """A FrameReader that decodes in a process of its own, which lives until reading ends."""

    def __init__(self, request: ReadRequest) -> None:
        self._request = request
        self._link, self._far = socket.socketpair()
        self._stopped = Event()
        self._held = ExitStack()
        self._status = ReadStatus()  # of the reading thread

    def start(self, sink: FrameSink) -> None:
        """Begin to read into `sink`, and return at once."""
        # A process starts with the priority of the thread that starts it, and cannot raise it again.
        start_thread("decode", self._run, sink, is_nice=False)

    def stop(self) -> None:
        """Make reading end soon: the process notices that its socket was closed."""
        self._stopped.set()
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)

    def _run(self, sink: FrameSink) -> None:
        fault = None
        try:
            # What the process took is given back once it has ended.
            with self._held, self._process(sink.capacity + 2) as (process, memory):
                if not self._read(memory, sink):
                    fault = self._crash(process.wait(_GRACE))
        except VideoError as error:
            fault = ReadFault(str(error), error.retryable)
        except Exception as error:  # a bug of ours costs this run alone
            if not self._stopped.is_set():
                log.exception("reading failed", source=self._request.source.redacted)
            fault = ReadFault(f"{self._name} failed: {error!r}", is_retryable=True)
        finally:
            if fault is not None and self._status.fault is None and not self._stopped.is_set():
                self._status = replace(self._status, fault=fault)
            sink.end(self._status)

    @contextmanager
    def _process(self, slots: int) -> Iterator[tuple[subprocess.Popen[bytes], mmap.mmap]]:
        """Start the process, and share memory for pictures with it. It has ended on the way out."""
        descriptor = shared_memory(slots)
        with self._link:
            try:
                with self._far:
                    process = subprocess.Popen(
                        COMMAND,
                        stdin=self._far.fileno(),
                        stdout=subprocess.DEVNULL,
                        pass_fds=[descriptor],
                        process_group=0,  # Ctrl-C is for the service, which then ends this process
                        env=environment(),
                    )
                memory = mmap.mmap(descriptor, slots * SLOT, access=mmap.ACCESS_READ)
            finally:
                os.close(descriptor)
            try:
                start = StartDecoding(self._request, descriptor, slots)
                self._link.sendall(msgspec.json.encode(start) + b"\n")
                yield process, memory
            finally:
                process.kill()
                process.wait()

    def _read(self, memory: mmap.mmap, sink: FrameSink) -> bool:
        """Take messages to the end. Returns False if the process ended without a last message.

        Raises:
            VideoError: the process sent nothing for too long.
            msgspec.DecodeError, ValueError: it sent nonsense.
        """
        decoder = msgspec.json.Decoder(DecoderMessage)
        self._link.settimeout(SILENCE)
        with self._link.makefile("rb") as lines, suppress(ConnectionError):
            try:
                while line := lines.readline(_LONGEST_LINE):
                    if self._take(decoder.decode(line), memory, sink):
                        return True
            except TimeoutError:
                raise VideoError(f"{self._name} was stuck for {SILENCE:.0f} s", retryable=True) from None
        return False

    def _take(self, message: DecoderMessage, memory: mmap.mmap, sink: FrameSink) -> bool:
        """Return whether this is the last message to take.

        After an entry that the sink refused, no more are taken: they could say that the frame is done.
        """
        match message:
            case ReadStatus():
                self._status = message
                sink.note(message)
            case Watermark():
                return not sink.put(message)
            case SharedFrame(pixels=pixels):
                picture = SharedPicture(pixels, memory, self._free) if pixels else None
                frame = SampledFrame(message.frame, message.time, message.sampled, picture, message.error)
                return not sink.put(frame)
            case LogLine():
                getattr(log, message.level)(message.event, **message.fields)
            case ReadEnded():
                self._status = message.status
                return True
            case MemoryNeeded():
                self._held.enter_context(
                    VIDEO_MEMORY.reserved(message.size, self._stopped, self._request.source.redacted)
                )
                self._link.send(b"%d\n" % MEMORY_GRANTED)
            case Alive():
                pass
        return False

    def _free(self, slot: int) -> None:
        with suppress(OSError):  # the process has ended
            self._link.send(b"%d\n" % slot)

    def _crash(self, code: int) -> ReadFault:
        if code == -signal.SIGKILL:
            return ReadFault(
                f"{self._name} was killed from outside, perhaps because memory ran out", is_retryable=True
            )
        reason = (signal.strsignal(-code) or f"signal {-code}").lower() if code < 0 else f"exit code {code}"
        return ReadFault(
            f"{self._name} crashed ({reason}): the video is damaged in a way that the decoder cannot handle",
            is_retryable=True,
        )

    @property
    def _name(self) -> str:
        return f"the process that decodes {self._request.source.redacted}"


def environment() -> dict[str, str]:
    """Return this process's environment without the service's settings: they hold addresses and keys."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("VA_")}
    return own | {"PYTHONPATH": os.pathsep.join(sys.path)}
