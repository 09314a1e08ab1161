"""Poll a camera's snapshot address, which answers each request with one JPEG picture."""

import time
from threading import Event

from ...domain.sampling import FixedRate, Sampling
from ..errors import VideoError
from .http_file import HttpFile
from .jpeg_splitter import JPEG_START, MAX_PICTURE
from .jpeg_stream import mjpeg_part

_MIN_INTERVAL, _DEFAULT_INTERVAL = 1 / 30, 1.0  # seconds between two requests
_MAX_INTERVAL = 30.0  # seconds: a decoder process that is silent for 60 s is killed


class Snapshots:
    """The pictures of a snapshot address, for PyAV to read as `mpjpeg`. Not thread safe.

    `fault` is why the last request failed; after it `read` returns `b""`.
    """

    def __init__(self, file: HttpFile, stop: Event) -> None:
        """`file` is the address, whose first picture is on its way. `stop` ends the wait for the next one."""
        self.name = file.name
        self.fault: VideoError | None = None
        self._file = file
        self._stop = stop
        self._interval = _DEFAULT_INTERVAL
        self._timeout = 0.0
        self._due: float | None = None
        self._unread = b""

    def poll_at(self, sampling: Sampling) -> bool:
        """Request a picture for each sample; one a second if `sampling` has no rate.

        Returns whether all pictures are samples, because no more are requested.
        """
        wanted = 1 / sampling.fps if isinstance(sampling, FixedRate) else _DEFAULT_INTERVAL
        self._interval = min(max(wanted, _MIN_INTERVAL), _MAX_INTERVAL)
        return wanted <= _MAX_INTERVAL

    def start_packet(self, timeout: float) -> None:
        """Allow each request from now on `timeout` seconds."""
        self._timeout = timeout
        self._file.start_packet(timeout)

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes of the present picture, or of the next one once it is due."""
        if not self._unread and self.fault is None:
            try:
                self._unread = self._next()
            except VideoError as fault:
                self.fault = fault.without_traceback()
        taken, self._unread = self._unread[:size], self._unread[size:]
        return taken

    def _next(self) -> bytes:
        now = time.monotonic()
        if self._due is None:
            self._due = now
        else:
            self._due = max(self._due + self._interval, now)  # a slow camera is not asked to catch up
            if self._stop.wait(self._due - now):
                return b""
            self._file.start_packet(self._timeout)
            self._file.request_again()
        picture = self._file.read_to_end(MAX_PICTURE)
        if not picture.startswith(JPEG_START):
            raise VideoError(
                f"{self.name} answers with {self._file.media_type} instead of a JPEG picture:"
                " check the address",
                retryable=True,
            )
        return mjpeg_part(picture)
