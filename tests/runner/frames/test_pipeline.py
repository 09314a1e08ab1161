"""The pipeline: in order, bounded, and stopped without losing what was begun."""

import time
from collections.abc import Callable

import pytest

from app.domain.media import Media
from app.domain.prediction import Detection
from app.runner.frames import workers
from app.runner.frames.pipeline import MAX_LINE, MAX_TAKEN, Pipeline
from app.runner.frames.tasks import FrameTask
from app.runner.frames.workers import Workers
from app.video.reading import ReadStatus, SampledFrame, Watermark
from tests.runner.pipelines import (
    ENDED,
    FOUND,
    LIVE,
    HeldDetector,
    feeding,
    frames_of,
    nothing,
    sampled,
    take_all,
)
from tests.support.waiting import until


async def test_frames_come_out_in_order_whichever_is_detected_first(held: HeldDetector) -> None:
    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=2, wake=nothing)
    with feeding(pipeline, [sampled(0), sampled(1), Watermark(5, 0.2)]):
        await until(lambda: len(held.begun) == 2)
        held.release(1)
        await until(lambda: held.open[1].is_set())
        assert pipeline.take().entries == []
        held.release(0)
        assert frames_of(await take_all(pipeline)) == [0, 1, -5]


async def test_the_last_frame_waits_for_the_end_to_be_taken_with_it() -> None:
    woken: list[None] = []
    detected: list[int] = []

    def detect(task: FrameTask) -> tuple[Detection, ...]:
        detected.append(task.frame)
        return FOUND

    pipeline = Pipeline(detect, workers=Workers(1), parallel=1, wake=lambda: woken.append(None))
    pipeline.note(ReadStatus("open", media=Media(64, 48, frames=1)))
    pipeline.put(sampled(0))
    await until(lambda: detected)
    time.sleep(0.05)  # noqa: ASYNC251 - a wake-up would come at once, from the worker's thread
    assert woken == []
    pipeline.end(ENDED)
    await until(lambda: woken)
    ready = pipeline.take()
    assert (frames_of(ready.entries), ready.is_over, ready.is_all_done) == ([0], True, True)


async def test_the_event_loop_is_woken_when_all_is_done_after_the_end(held: HeldDetector) -> None:
    woken: list[None] = []
    pipeline = Pipeline(held.detect, workers=Workers(1), parallel=1, wake=lambda: woken.append(None))
    pipeline.put(sampled(0))
    held.release(0)
    await until(lambda: woken)
    assert frames_of(pipeline.take().entries) == [0]
    woken.clear()
    pipeline.put(sampled(1))
    pipeline.end(ENDED)
    assert woken == []
    held.release(1)  # the loop, which waits for its next look, is woken as nothing more will come
    await until(lambda: woken)
    ready = pipeline.take()
    assert (frames_of(ready.entries), ready.is_over) == ([1], True)


async def test_a_patient_recording_wakes_the_event_loop_only_when_all_is_done() -> None:
    woken: list[None] = []
    detected: list[int] = []

    def detect(task: FrameTask) -> tuple[Detection, ...]:
        detected.append(task.frame)
        return FOUND

    wake: Callable[[], None] = lambda: woken.append(None)  # noqa: E731
    pipeline = Pipeline(detect, workers=Workers(1), parallel=1, wake=wake, is_patient=True)
    pipeline.put(sampled(0))
    pipeline.put(sampled(1))
    await until(lambda: detected == [0, 1])  # the only worker has announced frame 0 before
    assert woken == []
    pipeline.end(ENDED)
    await until(lambda: woken)
    ready = pipeline.take()
    assert (frames_of(ready.entries), ready.is_over) == ([0, 1], True)


async def test_a_recording_waits_for_a_slow_detector(held: HeldDetector) -> None:
    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=2, wake=nothing)
    with feeding(pipeline, [sampled(frame) for frame in range(50)]) as returned:
        await until(lambda: len(held.begun) == 2 and len(returned) >= 4)
        assert len(returned) == 4
        held.release(*range(50))
        assert frames_of(await take_all(pipeline)) == list(range(50))


async def test_a_recording_waits_for_a_database_that_takes_nothing() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(2), parallel=2, wake=nothing)
    with feeding(pipeline, [sampled(frame) for frame in range(MAX_LINE + 100)]) as returned:
        await until(lambda: len(returned) >= MAX_LINE)
        assert len(returned) == MAX_LINE
        assert len(await take_all(pipeline)) == MAX_LINE + 100


async def test_frames_are_taken_in_bounded_batches_also_after_a_stop() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(2), parallel=2, wake=nothing)
    for frame in range(MAX_TAKEN + 10):
        pipeline.put(SampledFrame(frame, 0.0, frame, error="damaged"))
    pipeline.stop()
    first, rest = pipeline.take(), pipeline.take()
    assert frames_of(first.entries) == list(range(MAX_TAKEN))
    assert not first.is_over
    assert frames_of(rest.entries) == list(range(MAX_TAKEN, MAX_TAKEN + 10))
    assert rest.is_over


async def test_a_live_source_drops_its_oldest_frames_that_no_worker_has_begun(held: HeldDetector) -> None:
    pipeline = Pipeline(held.detect, workers=Workers(1), parallel=1, wake=nothing)
    pipeline.note(LIVE)
    pipeline.put(sampled(10))
    await until(lambda: held.begun == [10])
    for frame in range(11, 20):
        assert pipeline.put(sampled(frame))
    pipeline.end(ENDED)
    held.release(*range(10, 20))
    taken = await take_all(pipeline)
    assert frames_of(taken) == list(range(10, 20))
    dropped = [entry.frame for entry in taken if isinstance(entry, FrameTask) and entry.is_dropped]
    assert dropped == list(range(11, 19))


async def test_a_live_source_counts_dropped_frames_when_nothing_is_stored() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), parallel=1, wake=nothing)
    pipeline.note(LIVE)
    for frame in range(MAX_LINE + 10):
        pipeline.put(sampled(frame))
    pipeline.end(ENDED)
    taken = await take_all(pipeline)
    assert len(taken) == MAX_LINE + 1
    assert isinstance(taken[-1], Watermark)
    assert (taken[-1].end, taken[-1].dropped) == (MAX_LINE + 10, 10)


async def test_a_stop_finishes_the_frames_that_were_begun_and_no_others(held: HeldDetector) -> None:
    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=2, wake=nothing)
    with feeding(pipeline, [sampled(frame) for frame in range(50)]) as returned:
        await until(lambda: len(held.begun) == 2)
        pipeline.stop()
        assert not pipeline.take().is_over
        held.release(0, 1)
        taken = await take_all(pipeline)
        assert frames_of(taken) == [0, 1]
        assert not pipeline.take().is_all_done
        await until(lambda: returned[-1] is False)


async def test_an_exception_in_the_detector_costs_one_frame() -> None:
    def detect(task: FrameTask) -> tuple[Detection, ...]:
        if task.frame == 1:
            raise ValueError("no such colour")
        return FOUND

    pipeline = Pipeline(detect, workers=Workers(1), parallel=1, wake=nothing)
    with feeding(pipeline, [sampled(0), sampled(1), sampled(2)]):
        taken = await take_all(pipeline)
    errors = [entry.error for entry in taken if isinstance(entry, FrameTask)]
    assert errors[0] is None
    assert errors[2] is None
    assert "no such colour" in str(errors[1])


async def test_pictures_are_release_as_soon_as_they_were_looked_at() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), parallel=1, wake=nothing)
    with feeding(pipeline, [sampled(0)]):
        (entry,) = await take_all(pipeline)
    assert isinstance(entry, FrameTask)
    assert entry.picture is None


async def test_the_event_loop_is_woken_once_there_is_something_to_take(held: HeldDetector) -> None:
    woken: list[bool] = []
    wake: Callable[[], None] = lambda: woken.append(True)  # noqa: E731
    pipeline = Pipeline(held.detect, workers=Workers(1), parallel=1, wake=wake)
    with feeding(pipeline, [sampled(0), sampled(1)]):
        await until(lambda: held.begun == [0])
        assert pipeline.take().entries == []
        assert woken == []
        held.release(0)
        await until(lambda: woken)
        assert frames_of(pipeline.take().entries) == [0]
        assert len(woken) == 1


async def test_frames_of_a_live_source_that_are_not_sampled_do_not_wake_the_event_loop(
    held: HeldDetector,
) -> None:
    woken: list[bool] = []
    pipeline = Pipeline(held.detect, workers=Workers(1), parallel=1, wake=lambda: woken.append(True))
    pipeline.note(LIVE)
    woken.clear()
    for end in (5, 10):
        pipeline.put(Watermark(end, 0.1))
    pipeline.put(sampled(10))
    await until(lambda: held.begun == [10])
    assert woken == []
    held.release(10)
    await until(lambda: woken)
    assert frames_of(pipeline.take().entries) == [-10, 10]
    pipeline.put(sampled(11))
    held.release(11)
    await until(lambda: len(woken) == 2)  # although the last `take` gave something
    assert frames_of(pipeline.take().entries) == [11]
    pipeline.put(Watermark(15, 0.2))
    assert len(woken) == 2
    pipeline.end(LIVE)
    assert len(woken) == 3
    assert pipeline.take().is_over


async def test_the_event_loop_is_woken_at_the_end_even_if_it_does_not_wait(held: HeldDetector) -> None:
    woken: list[bool] = []
    pipeline = Pipeline(held.detect, workers=Workers(1), parallel=1, wake=lambda: woken.append(True))
    pipeline.put(sampled(0))
    held.release(0)
    await until(lambda: woken)
    assert frames_of(pipeline.take().entries) == [0]
    woken.clear()
    pipeline.end(ENDED)
    assert woken


async def test_with_one_parallel_worker_one_frame_is_detected_in_at_a_time(held: HeldDetector) -> None:
    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=1, wake=nothing)
    with feeding(pipeline, [sampled(0), sampled(1)]):
        await until(lambda: held.begun == [0])
        held.release(0)
        await until(lambda: held.begun == [0, 1])
        held.release(1)
        assert frames_of(await take_all(pipeline)) == [0, 1]


async def test_frames_that_come_slowly_wait_no_longer_than_until_the_next_take() -> None:
    begun: list[int] = []

    def detect(task: FrameTask) -> tuple[Detection, ...]:
        begun.append(task.frame)
        return FOUND

    pipeline = Pipeline(detect, workers=Workers(1), parallel=2, wake=nothing)
    pipeline.put(sampled(0))
    taken = 0

    def first_taken() -> bool:
        nonlocal taken
        taken += len(pipeline.take().entries)
        return taken == 1

    await until(first_taken)
    assert begun == [0]
    pipeline.put(sampled(1))
    assert begun == [0]  # no thread was woken for it
    pipeline.take()
    await until(lambda: begun == [0, 1])
    pipeline.put(sampled(2))
    pipeline.put(sampled(3))  # half of the room is taken
    await until(lambda: begun == [0, 1, 2, 3])
    pipeline.put(sampled(4))
    pipeline.end(ENDED)
    await until(lambda: begun == [0, 1, 2, 3, 4])


async def test_runs_that_share_workers_alternate(held: HeldDetector) -> None:
    shared = Workers(1)
    first = Pipeline(held.detect, workers=shared, parallel=1, wake=nothing)
    second = Pipeline(held.detect, workers=shared, parallel=1, wake=nothing)
    with (
        feeding(first, [sampled(0), sampled(1), sampled(2)]) as fed_first,
        feeding(second, [sampled(10), sampled(11), sampled(12)]) as fed_second,
    ):
        await until(lambda: len(fed_first) == len(fed_second) == 3)
        held.release(0, 1, 2, 10, 11, 12)
        await take_all(first)
        await take_all(second)
    assert held.begun == ([0, 10, 1, 11, 2, 12] if held.begun[0] == 0 else [10, 0, 11, 1, 12, 2])


async def test_if_no_thread_can_be_started_no_frame_is_taken(
    held: HeldDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=2, wake=nothing)
    with monkeypatch.context() as patched:
        patched.setattr(workers, "start_thread", start)
        with pytest.raises(RuntimeError):
            pipeline.put(sampled(0))
    pipeline.stop()
    assert pipeline.take().is_over


def test_a_live_source_s_status_wakes_the_event_loop_and_is_taken_whole() -> None:
    woken: list[None] = []
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), parallel=1, wake=lambda: woken.append(None))
    assert pipeline.take().status == ReadStatus()
    for status in (LIVE, ReadStatus("reconnecting", is_live=True)):
        pipeline.note(status)
        assert pipeline.take().status == status
    assert len(woken) == 2


async def test_a_recording_s_status_comes_with_its_first_frame() -> None:
    woken: list[None] = []
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), parallel=1, wake=lambda: woken.append(None))
    status = ReadStatus("open", media=Media(64, 48, frames=9), candidates="reference")
    pipeline.note(status)
    assert woken == []
    pipeline.put(sampled(0))
    await until(lambda: woken)
    taken = pipeline.take()
    assert (frames_of(taken.entries), taken.status) == ([0], status)
    pipeline.end(ENDED)
    assert pipeline.take().status == ENDED


def test_the_last_status_arrives_also_after_a_stop() -> None:
    """A recording that was read to its end is finished, even if a stop was asked for just before."""
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), parallel=1, wake=nothing)
    pipeline.put(Watermark(9, 0.3))
    pipeline.stop()
    pipeline.end(ENDED)
    taken = pipeline.take()
    assert (frames_of(taken.entries), taken.is_all_done, taken.status) == ([-9], True, ENDED)
