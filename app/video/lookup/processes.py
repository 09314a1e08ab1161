"""Processes that decode single pictures: a crash costs one picture, and a picture that hangs is given up."""

import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial

import msgspec
import structlog
from anyio import Semaphore, create_task_group, move_on_after, sleep
from msgspec.structs import replace

from ...concurrency.threads import DedicatedThread, in_daemon_thread
from ..decoder.parent import environment
from .protocol import FrameJob, PictureJob, PictureResult, TryJob

log = structlog.get_logger(__name__)

AT_ONCE = 2
"""Frames that are looked for at the same time."""
PATIENCE = 20.0
"""Seconds that a frame waits until those before it are found."""
IDLE_SECONDS = 1.0
"""Seconds after which another process looks for a frame, too: scenarios may leave the first no time."""

_COMMAND = (sys.executable, "-m", f"{__package__}.child")
_STARVED_SECONDS = 60.0  # in which an idle process gets some time of a processor, or else is taken to hang
_START_TIMEOUT = 20.0  # seconds in which a process starts, on a busy machine
_GRACE = 1.0  # seconds that a process has to notice that its time is over
_LONGEST_LINE = 2**18
_CRASHED = "the decoder crashed: the recording is damaged in a way that it cannot handle"
PictureAnswer = tuple[PictureResult, bytes]
_SLOW: PictureAnswer = PictureResult(fault="slow"), b""


class PictureProcesses:
    """Processes that are started when they are needed. Used by the event loop alone.

    A frame is looked for by an idle process, with what scenarios leave of the processors. If that is too
    little, one more process looks for it from the start. It is only nice, and there is only one, so scenarios
    still have most of the processors.
    """

    def __init__(self) -> None:
        self._free = Semaphore(AT_ONCE)
        self._idle = [_PictureProcess(is_idle=True) for _ in range(AT_ONCE)]
        self._nice = _PictureProcess()
        self._trial = _PictureProcess()
        self.trials = Semaphore(1)
        """Held while a source is tried, which may take longer than a picture."""

    async def show(self, job: PictureJob) -> PictureAnswer:
        """Return the result of a job, and its JPEG."""
        if isinstance(job, TryJob):  # a camera is not connected to twice
            return await self._trial.show(job)
        with move_on_after(PATIENCE) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            return _SLOW
        try:
            return await self._find(job)
        finally:
            self._free.release()

    async def _find(self, job: FrameJob) -> PictureAnswer:
        """Return the answer of an idle process, or after a while that of the nice one, if it is sooner."""
        idle = next((each for each in self._idle if not each.is_busy), None)
        if idle is None:  # they are starved
            return await self._nice.show(job)
        idle.is_busy = True  # at once, so that no other frame takes it
        asked, answers = [idle], list[PictureAnswer]()
        async with create_task_group() as group:

            async def ask(process: _PictureProcess, job: FrameJob) -> None:
                answer = await process.show(job)
                if process is asked[-1] or answer[0].fault != "slow":
                    answers.append(answer)
                    group.cancel_scope.cancel()

            group.start_soon(ask, idle, job)
            await sleep(IDLE_SECONDS)
            asked.append(self._nice)
            await ask(self._nice, replace(job, seconds=max(job.seconds - IDLE_SECONDS, 0.0)))
        return answers[0]

    def close(self) -> None:
        """End the processes."""
        for process in (*self._idle, self._nice, self._trial):
            process.close()


class _PictureProcess:
    """A process, started again whenever it has ended. Its jobs are done one after the other.

    One that `is_idle` runs only on processors that nobody else wants.
    """

    def __init__(self, *, is_idle: bool = False) -> None:
        # A process ends with the thread that started it.
        self._call = DedicatedThread("pictures", self._show)
        self._is_idle = is_idle
        self.is_busy = False
        """Whether it works on a job, perhaps on one whose answer nobody waits for any more."""
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._is_closed = False

    async def show(self, job: PictureJob) -> PictureAnswer:
        """Return the result of a job, and its JPEG. If this is cancelled, the job is done all the same."""
        self.is_busy = True
        try:
            return await in_daemon_thread("picture", partial(self._call, job))
        except RuntimeError:  # there is no thread for it
            self.is_busy = False
            raise

    def close(self) -> None:
        self._is_closed = True
        self._call.close()
        if self._process is not None:
            self._process.kill()  # which ends a job that is under way
            self._process.wait()
        if self._link is not None:
            self._link.close()

    def _show(self, job: PictureJob) -> PictureAnswer:
        try:
            return self._answer(job)
        finally:
            self.is_busy = False

    def _answer(self, job: PictureJob) -> PictureAnswer:
        line = msgspec.json.encode(job) + b"\n"
        seconds = _STARVED_SECONDS if self._is_idle else job.seconds + _GRACE
        try:
            return self._ask(line, seconds)
        except (OSError, EOFError, msgspec.DecodeError) as error:
            code = self._end()
            if isinstance(error, TimeoutError):
                return _SLOW
            if code == 0:  # it was idle, and ended before the job reached it
                with suppress(OSError, EOFError, msgspec.DecodeError):
                    return self._ask(line, seconds)
                code = self._end()
            if code == -signal.SIGKILL:  # perhaps because memory ran out
                return _SLOW
            log.warning("a picture process ended", source=job.source.redacted, code=code)
            return PictureResult(fault="unreadable", text=_CRASHED), b""

    def _ask(self, line: bytes, seconds: float) -> PictureAnswer:
        if self._link is None:
            self._start()
        link = self._link
        assert link is not None  # noqa: S101
        link.settimeout(seconds)
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
                _COMMAND + ("idle",) * self._is_idle,
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
