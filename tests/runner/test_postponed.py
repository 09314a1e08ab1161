"""Frames that a detector cannot look at now come back to it, in their order, and are dropped like others."""

from threading import Event

from app.detectors.base import PostponedError
from app.domain.prediction import Detection
from app.runner.frames.pipeline import Pipeline
from app.runner.frames.tasks import FrameTask
from app.runner.frames.workers import Workers
from tests.runner.pipelines import ENDED, FOUND, LIVE, feeding, frames_of, nothing, sampled, take_all
from tests.support.waiting import until


class AwayDetector:
    """A detector whose server is away until `is_back` is set."""

    def __init__(self, retry_after: float = 0.01) -> None:
        self.is_back = Event()
        self.calls: list[int] = []
        self._retry_after = retry_after

    def detect(self, task: FrameTask) -> tuple[Detection, ...]:
        self.calls.append(task.frame)
        if not self.is_back.is_set():
            raise PostponedError("It is away.", self._retry_after)
        return FOUND


async def test_each_frame_of_a_recording_is_detected_once_the_server_is_back() -> None:
    detector = AwayDetector()
    pipeline = Pipeline(detector.detect, workers=Workers(3), parallel=3, wake=nothing)
    with feeding(pipeline, [sampled(frame) for frame in range(20)]) as returned:

        def has_tried() -> bool:
            assert pipeline.take().entries == []
            return len(detector.calls) > 5

        await until(has_tried)
        assert len(returned) <= pipeline.capacity + 1  # the decoder waits
        detector.is_back.set()
        taken = await take_all(pipeline)
    assert frames_of(taken) == list(range(20))
    assert all(isinstance(task, FrameTask) and task.detections == FOUND for task in taken)


async def test_a_live_source_drops_its_oldest_frames_while_the_server_is_away() -> None:
    detector = AwayDetector()
    pipeline = Pipeline(detector.detect, workers=Workers(2), parallel=2, wake=nothing)
    pipeline.note(LIVE)
    for frame in range(10):
        pipeline.put(sampled(frame))
        await until(lambda: pipeline._busy == 0)
    dropped = [task for task in pipeline.take().entries if isinstance(task, FrameTask)]
    assert [task.frame for task in dropped] == list(range(7))
    assert all(task.is_dropped for task in dropped)
    detector.is_back.set()
    pipeline.end(ENDED)
    assert frames_of(await take_all(pipeline)) == [7, 8, 9]


async def test_a_stop_leaves_behind_what_was_put_back() -> None:
    detector = AwayDetector(retry_after=60)
    pipeline = Pipeline(detector.detect, workers=Workers(2), parallel=2, wake=nothing)
    with feeding(pipeline, [sampled(frame) for frame in range(5)]):
        await until(lambda: detector.calls)
        pipeline.stop()
        await until(lambda: pipeline.take().is_over)
        taken = pipeline.take()
        assert (taken.entries, taken.is_all_done) == ([], False)


async def test_nothing_is_asked_of_the_detector_before_its_time() -> None:
    detector = AwayDetector(retry_after=60)
    pipeline = Pipeline(detector.detect, workers=Workers(1), parallel=1, wake=nothing)
    with feeding(pipeline, [sampled(frame) for frame in range(5)]):
        await until(lambda: detector.calls and pipeline._busy == 0)
        for _ in range(5):
            pipeline.take()
        assert detector.calls == [0]
