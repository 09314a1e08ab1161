"""Open a source as a run would, and return its first picture."""

from threading import Timer

from msgspec.structs import replace

from ...domain.media import Media
from ...domain.sampling import EveryFrame
from ..errors import VideoError
from ..pictures import AvPicture
from ..reader import ThreadReader
from ..reading import ReadRequest, ReadStatus, SampledFrame, Watermark
from .finder import TooSlowError
from .protocol import TryJob


class _FirstPicture:
    """A FrameSink that wants one picture."""

    capacity = 1

    def __init__(self) -> None:
        self.picture: AvPicture | None = None
        self.status = ReadStatus()

    def note(self, status: ReadStatus) -> None:
        self.status = status

    def put(self, entry: SampledFrame | Watermark) -> bool:
        if isinstance(entry, SampledFrame) and isinstance(entry.picture, AvPicture):
            self.picture = entry.picture
        return self.picture is None

    def end(self, status: ReadStatus) -> None:
        self.status = replace(status, media=status.media or self.status.media)


def try_source(job: TryJob) -> tuple[AvPicture, Media | None]:
    """Return the first picture of a source that can be decoded, and what was found of the source.

    Raises:
        VideoError: it cannot be opened or read, or none of its pictures can be decoded.
        TooSlowError: no picture came in time.
    """
    sink = _FirstPicture()
    reader = ThreadReader(ReadRequest(job.source, job.media_root, job.networks, EveryFrame()))
    timer = Timer(job.seconds, reader.stop)
    timer.daemon = True
    timer.start()
    try:
        reader.read(sink)
    finally:
        timer.cancel()
    if sink.picture is not None:
        return sink.picture, sink.status.media
    fault = sink.status.fault
    if fault is not None:
        raise VideoError(fault.message, retryable=fault.is_retryable)
    raise TooSlowError
