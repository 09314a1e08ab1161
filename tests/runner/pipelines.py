"""Frames put into a pipeline, and taken out of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

from app.domain.prediction import Detection
from app.runner.frames.pipeline import Pipeline
from app.runner.frames.tasks import FrameTask
from app.video.reading import ReadStatus, SampledFrame, Watermark
from tests.support.pictures import ArrayPicture, plain
from tests.support.waiting import until

PICTURE = ArrayPicture(plain(4, 4))
FOUND = (Detection("x", 1.0, (0.0, 0.0, 1.0, 1.0)),)
LIVE = ReadStatus("open", is_live=True)
ENDED = ReadStatus("open", is_completed=True)


def sampled(frame: int) -> SampledFrame:
    return SampledFrame(frame, frame / 30, frame, PICTURE)


class HeldDetector:
    """A detector that waits in each frame until it is released."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.open: dict[int, Event] = {}

    def detect(self, task: FrameTask) -> tuple[Detection, ...]:
        self.begun.append(task.frame)
        self.open.setdefault(task.frame, Event()).wait(10)
        return FOUND

    def release(self, *frames: int) -> None:
        for frame in frames:
            self.open.setdefault(frame, Event()).set()


@contextmanager
def feeding(pipeline: Pipeline, entries: list[SampledFrame | Watermark]) -> Iterator[list[bool]]:
    """Put entries from a thread, as a reader does; yield what each put returned."""
    returned: list[bool] = []

    def feed() -> None:
        for entry in entries:
            put = pipeline.put(entry)
            returned.append(put)
        pipeline.end(ENDED)

    thread = Thread(target=feed)
    thread.start()
    yield returned
    pipeline.stop()
    thread.join(10)
    assert not thread.is_alive()


def nothing() -> None:
    pass


def frames_of(entries: list[FrameTask | Watermark]) -> list[int]:
    """Return the frame of each frame, and minus the end of each watermark."""
    return [entry.frame if isinstance(entry, FrameTask) else -entry.end for entry in entries]


async def take_all(pipeline: Pipeline) -> list[FrameTask | Watermark]:
    taken: list[FrameTask | Watermark] = []

    def is_over() -> bool:
        now = pipeline.take()
        taken.extend(now.entries)
        return now.is_over

    await until(is_over)
    return taken
