"""Processes that decode single pictures: a crash costs one picture, and a picture that hangs is given up."""

import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial

import msgspec
import structlog
from anyio import Semaphore, move_on_after

from ...concurrency.threads import DedicatedThread, in_daemon_thread
from ..decoder.parent import environment
from .protocol import PictureJob, PictureResult

log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Pictures that are decoded at the same time."""
PATIENCE = 10.0
"""Seconds that a job waits for a process to be free."""

_COMMAND = (sys.executable, "-m", f"{__package__}.child")
_START_TIMEOUT = 20.0  # seconds in which a process starts, on a busy machine
_GRACE = 1.0  # seconds that a process has to notice that its time is over
_LONGEST_LINE = 2**18
_CRASHED = "the decoder crashed: the recording is damaged in a way that it cannot handle"
_SLOW = PictureResult(fault="slow")


class PictureProcesses:
    """Up to AT_ONCE processes, started when they are needed. Used by the event loop alone."""

    def __init__(self) -> None:
        self._free = Semaphore(AT_ONCE)
        self._idle = [_PictureProcess() for _ in range(AT_ONCE)]
        self._all = tuple(self._idle)
        self.trials = Semaphore(1)
        """Held while a source is tried, which may take longer than a picture."""

    async def show(self, job: PictureJob) -> tuple[PictureResult, bytes]:
        """Return the result of a job, and its JPEG."""
        with move_on_after(PATIENCE) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            return _SLOW, b""
        process = self._idle.pop()
        try:
            return await in_daemon_thread("picture", partial(process.show, job))
        finally:
            self._idle.append(process)
            self._free.release()

    def close(self) -> None:
        """End the processes."""
        for process in self._all:
            process.close()


class _PictureProcess:
    """A process, started again whenever it has ended. Its jobs are done one after the other."""

    def __init__(self) -> None:
        # A process ends with the thread that started it.
        self.show = DedicatedThread("pictures", self._show)
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._is_closed = False

    def close(self) -> None:
        self._is_closed = True
        self.show.close()
        if self._process is not None:
            self._process.kill()  # which ends a job that is under way
            self._process.wait()
        if self._link is not None:
            self._link.close()

    def _show(self, job: PictureJob) -> tuple[PictureResult, bytes]:
        line = msgspec.json.encode(job) + b"\n"
        try:
            return self._ask(line, job.seconds)
        except (OSError, EOFError, msgspec.DecodeError) as error:
            code = self._end()
            if isinstance(error, TimeoutError):
                return _SLOW, b""
            if code == 0:  # it was idle, and ended before the job reached it
                with suppress(OSError, EOFError, msgspec.DecodeError):
                    return self._ask(line, job.seconds)
                code = self._end()
            if code == -signal.SIGKILL:  # perhaps because memory ran out
                return _SLOW, b""
            log.warning("a picture process ended", source=job.source.redacted, code=code)
            return PictureResult(fault="unreadable", text=_CRASHED), b""

    def _ask(self, line: bytes, seconds: float) -> tuple[PictureResult, bytes]:
        if self._link is None:
            self._start()
        link = self._link
        assert link is not None  # noqa: S101
        link.settimeout(seconds + _GRACE)
        link.sendall(line)
        header = _read_line(link)
        result = msgspec.json.decode(header, type=PictureResult)
        return result, _read(link, result.size)

    def _start(self) -> None:
        if self._is_closed:
            raise EOFError
        link, far = socket.socketpair()
        with far:
            self._process = subprocess.Popen(
                _COMMAND,
                stdin=far.fileno(),
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the service, which then ends this process
                env=environment(),
            )
        self._link = link
        link.settimeout(_START_TIMEOUT)
        _read_line(link)

    def _end(self) -> int | None:
        """End the process, and return its exit code; 0 if it had ended by itself because it was idle."""
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        self._process.kill()
        return self._process.wait()


def _read_line(link: socket.socket) -> bytes:
    """Return the next line. Raises OSError, and EOFError if there is none."""
    line = b""
    while not line.endswith(b"\n"):
        part = link.recv(1)
        if not part or len(line) > _LONGEST_LINE:
            raise EOFError
        line += part
    return line


def _read(link: socket.socket, size: int) -> bytes:
    """Return so many bytes. Raises OSError, and EOFError if there are fewer."""
    parts, missing = [], size
    while missing:
        part = link.recv(min(missing, 2**20))
        if not part:
            raise EOFError
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
