"""Reading a source in a process of its own: whatever decoding does wrong there ends that, and one run."""

import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import structlog

from ...concurrency.threads import start_thread
from ...domain.networks import Networks
from ...domain.source import Source
from ...domain.spec import Sampling
from ...domain.states import SourceState
from ...predictions.checkpoint import Checkpoint
from ...runner.pipeline import Item, Mark, Pipeline
from ..open import VideoError
from ..reader import Opened
from .protocol import Alive, Ended, Logged, Message, Noted, Order, Passed, Shown
from .shared_frames import SLOT, SharedPicture, shared_memory

log = structlog.get_logger(__name__)

COMMAND = (sys.executable, "-m", f"{__package__}.child")
SILENCE = 60.0
"""Seconds without a sign of life after which the process is ended. Finding a host's address may take 30."""

_GRACE = 5.0  # seconds that the process has to end in by itself
_LONGEST_LINE = 2**20


class DecoderProcess:
    """Reads one source into one pipeline, as a Reader does, in a process that lives as long as that."""

    def __init__(
        self,
        source: Source,
        media_root: Path,
        networks: Networks,
        sampling: Sampling,
        *,
        persistent: bool,
        wake: Callable[[], None],
    ) -> None:
        """As of a Reader."""
        self._source = source
        self._media_root = media_root
        self._networks = networks
        self._sampling = sampling
        self._persistent = persistent
        self._wake = wake
        self._link, self._far = socket.socketpair()
        self._stopped = False
        self.opened: Opened | None = None
        self.state: SourceState = "opening"
        self.fault: VideoError | None = None
        self.completed = False

    def start(self, checkpoint: Checkpoint, pipeline: Pipeline) -> None:
        """Begin to read where the checkpoint says."""
        # A process starts with the patience of the thread that starts it, and cannot lose it again.
        start_thread("decode", self._run, checkpoint, pipeline, patient=False)

    def stop(self) -> None:
        """End reading soon: the process sees that nothing more is wanted."""
        self._stopped = True
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_WR)

    def _run(self, checkpoint: Checkpoint, pipeline: Pipeline) -> None:
        fault = None
        try:
            with self._process(checkpoint, pipeline.room + 2) as (process, memory):
                if not self._read(memory, pipeline):
                    fault = self._crashed(process.wait(_GRACE))
        except VideoError as error:
            fault = error
        except Exception as error:  # as of a Reader
            if not self._stopped:
                log.exception("reading failed", source=self._source.redacted)
            fault = VideoError(f"{self._who} failed: {error!r}", retryable=True)
        finally:
            if not self._stopped:
                self.fault = self.fault or fault
            pipeline.end()

    @contextmanager
    def _process(
        self, checkpoint: Checkpoint, slots: int
    ) -> Iterator[tuple[subprocess.Popen[bytes], mmap.mmap]]:
        """The process, with its order, and the memory that it puts pictures into; it has ended afterwards."""
        descriptor = shared_memory(slots)
        with self._link:
            try:
                with self._far:
                    process = subprocess.Popen(
                        COMMAND,
                        stdin=self._far.fileno(),
                        stdout=subprocess.DEVNULL,
                        pass_fds=[descriptor],
                        process_group=0,  # Ctrl-C is for the service, which ends this process in its turn
                        env=_environment(),
                    )
                memory = mmap.mmap(descriptor, slots * SLOT, access=mmap.ACCESS_READ)
            finally:
                os.close(descriptor)
            try:
                order = Order(
                    self._source,
                    str(self._media_root.absolute()),
                    str(self._networks),
                    self._sampling,
                    self._persistent,
                    checkpoint,
                    descriptor,
                    slots,
                )
                self._link.sendall(msgspec.json.encode(order) + b"\n")
                yield process, memory
            finally:
                process.kill()
                process.wait()

    def _read(self, memory: mmap.mmap, pipeline: Pipeline) -> bool:
        """Take what comes; whether it ended as it should. Raises VideoError, and others for nonsense."""
        decoder = msgspec.json.Decoder(Message)
        self._link.settimeout(SILENCE)
        with self._link.makefile("rb") as lines, suppress(ConnectionError):
            try:
                while line := lines.readline(_LONGEST_LINE):
                    if self._take(decoder.decode(line), memory, pipeline):
                        return True
            except TimeoutError:
                raise VideoError(f"{self._who} was stuck for {SILENCE:.0f} s", retryable=True) from None
        return False

    def _take(self, message: Message, memory: mmap.mmap, pipeline: Pipeline) -> bool:
        """Whether it was the last message, or no more are wanted: what was said cannot be taken back."""
        match message:
            case Noted():
                pipeline.live = message.live
                self.state, self.opened = message.state, self.opened or message.opened
                self._wake()
            case Passed():
                return not pipeline.put(Mark(message.end, message.time, message.dropped))
            case Shown(pixels=pixels):
                picture = SharedPicture(pixels, memory, self._release) if pixels else None
                item = Item(message.frame, message.time, message.sampled, picture, message.error)
                return not pipeline.put(item)
            case Logged():
                getattr(log, message.level)(message.event, **message.fields)
            case Ended():
                self.completed = message.completed
                if message.fault is not None:
                    self.fault = VideoError(message.fault, retryable=message.retryable)
                return True
            case Alive():
                pass
        return False

    def _release(self, slot: int) -> None:
        with suppress(OSError):  # the process has ended
            self._link.send(b"%d\n" % slot)

    def _crashed(self, code: int) -> VideoError:
        if code == -signal.SIGKILL:
            return VideoError(
                f"{self._who} was killed from outside, perhaps because memory ran out", retryable=True
            )
        reason = (signal.strsignal(-code) or f"signal {-code}").lower() if code < 0 else f"exit code {code}"
        return VideoError(
            f"{self._who} crashed ({reason}): the video is damaged in a way that it cannot bear",
            retryable=True,
        )

    @property
    def _who(self) -> str:
        return f"the process that decodes {self._source.redacted}"


def _environment() -> dict[str, str]:
    """What this process has, without the service's settings: addresses of databases, and keys."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("VA_")}
    return own | {"PYTHONPATH": os.pathsep.join(sys.path)}
