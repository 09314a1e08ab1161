"""The pipeline's ordered step: each frame in its order, one at a time, whatever finishes first."""

import random
import threading
import time
from threading import Event

import pytest

from app.domain.prediction import Detection
from app.runner.frames.pipeline import STEP_FAILED, Pipeline
from app.runner.frames.tasks import FrameTask
from app.runner.frames.workers import Workers
from app.video.reading import SampledFrame, Watermark
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

FRAMES = 300


class Step:
    """Notes what it sees, and replaces each frame's detections by a count of the frames so far."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.errors: dict[int, str] = {}
        self.threads: set[str] = set()
        self.pictures = 0
        self._is_busy = threading.Lock()

    def __call__(self, task: FrameTask) -> tuple[Detection, ...]:
        assert self._is_busy.acquire(blocking=False), "two frames at the same time"
        self.seen.append(task.frame)
        self.threads.add(threading.current_thread().name)
        self.pictures += task.picture is not None
        if task.error is not None:
            self.errors[task.frame] = task.error
        self._is_busy.release()
        return (Detection(str(len(self.seen)), 1.0, (0.0, 0.0, 1.0, 1.0)),)


def labels(entries: list[FrameTask | Watermark]) -> list[str | None]:
    """Return the label of each frame's first detection, None for a frame without one."""
    return [
        entry.detections[0].label if entry.detections else None
        for entry in entries
        if isinstance(entry, FrameTask)
    ]


def random_delays(seed: int) -> list[float]:
    """Return for each frame the seconds that detection takes."""
    chance = random.Random(seed)
    return [chance.choice((0.0, 0.0, chance.uniform(0, 0.01))) for _ in range(FRAMES)]


@pytest.mark.parametrize("seed", range(3))
async def test_it_sees_every_frame_in_order_however_long_detection_takes(seed: int) -> None:
    delays, step = random_delays(seed), Step()

    def detect(task: FrameTask) -> tuple[Detection, ...]:
        time.sleep(delays[task.frame])
        return FOUND

    pipeline = Pipeline(
        detect,
        workers=Workers(4),
        parallel=4,
        wake=nothing,
        ordered_step=step,
        encode=lambda _frame, _picture: pytest.fail("of a recording"),
    )
    entries: list[SampledFrame | Watermark] = []
    for frame in range(FRAMES):
        if frame % 7 == 3:
            entries.append(SampledFrame(frame, frame / 30, frame, error="damaged"))
        else:
            entries.append(sampled(frame))
        if frame % 10 == 9:
            entries.append(Watermark(frame + 1, frame / 30))
    with feeding(pipeline, entries):
        taken = await take_all(pipeline)
    assert step.seen == list(range(FRAMES))
    assert step.errors == {frame: "damaged" for frame in range(FRAMES) if frame % 7 == 3}
    assert step.threads == {"detect"}
    assert step.pictures == 0
    assert [frame for frame in frames_of(taken) if frame >= 0] == list(range(FRAMES))
    expected = [None if frame % 7 == 3 else str(frame + 1) for frame in range(FRAMES)]
    assert labels(taken) == expected


async def test_frames_are_given_out_only_after_it(held: HeldDetector) -> None:
    go, begun = Event(), Event()

    def step(task: FrameTask) -> None:
        begun.set()
        go.wait(10)

    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=2, wake=nothing, ordered_step=step)
    with feeding(pipeline, [sampled(0), sampled(1)]):
        held.release(0, 1)
        await until(begun.is_set)
        await until(lambda: held.begun == [0, 1])
        assert pipeline.take().entries == []
        go.set()
        taken = await take_all(pipeline)
    assert [entry.detections for entry in taken if isinstance(entry, FrameTask)] == [FOUND, FOUND]


async def test_detection_goes_on_while_it_is_busy(held: HeldDetector) -> None:
    go, begun = Event(), Event()

    def step(task: FrameTask) -> None:
        begun.set()
        go.wait(10)

    held.release(*range(10))
    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=2, wake=nothing, ordered_step=step)
    with feeding(pipeline, [sampled(frame) for frame in range(4)]):
        await until(begun.is_set)
        await until(lambda: len(held.begun) >= 3)
        go.set()
        assert frames_of(await take_all(pipeline)) == [0, 1, 2, 3]


async def test_what_it_raises_costs_that_frame_alone() -> None:
    def step(task: FrameTask) -> None:
        if task.frame in (1, 2):
            raise ZeroDivisionError("no lines")

    pipeline = Pipeline(lambda _: FOUND, workers=Workers(2), parallel=2, wake=nothing, ordered_step=step)
    damaged = SampledFrame(2, 0.1, 2, error="damaged")
    with feeding(pipeline, [sampled(0), sampled(1), damaged, sampled(3)]):
        taken = [entry for entry in await take_all(pipeline) if isinstance(entry, FrameTask)]
    assert [entry.error for entry in taken] == [
        None, f"{STEP_FAILED}ZeroDivisionError('no lines')", "damaged", None
    ]  # fmt: skip
    assert [entry.detections for entry in taken] == [FOUND, None, None, FOUND]


async def test_a_stop_during_it_still_gives_out_what_detection_had_begun_with(held: HeldDetector) -> None:
    go, begun = Event(), Event()
    seen: list[int] = []

    def step(task: FrameTask) -> None:
        begun.set()
        go.wait(10)
        seen.append(task.frame)

    pipeline = Pipeline(held.detect, workers=Workers(2), parallel=2, wake=nothing, ordered_step=step)
    with feeding(pipeline, [sampled(frame) for frame in range(50)]):
        held.release(0)
        await until(begun.is_set)
        await until(lambda: 1 in held.begun)
        pipeline.stop()
        assert not pipeline.take().is_over
        held.release(1, 2)
        assert not pipeline.take().is_over
        go.set()
        taken = await take_all(pipeline)
    assert frames_of(taken) == seen == sorted(held.begun)
    assert not pipeline.take().is_all_done


async def test_frames_that_a_live_source_drops_are_left_out(held: HeldDetector) -> None:
    step = Step()
    pipeline = Pipeline(held.detect, workers=Workers(1), parallel=1, wake=nothing, ordered_step=step)
    pipeline.note(LIVE)
    pipeline.put(sampled(10))
    await until(lambda: held.begun == [10])
    for frame in range(11, 20):
        assert pipeline.put(sampled(frame))
    pipeline.end(ENDED)
    held.release(*range(10, 20))
    taken = await take_all(pipeline)
    assert frames_of(taken) == list(range(10, 20))
    assert step.seen == [10, 19]
    assert [entry.frame for entry in taken if isinstance(entry, FrameTask) and entry.is_dropped] == list(
        range(11, 19)
    )


async def test_a_frame_without_anything_to_detect_reaches_it_at_the_event_loop_s_next_look() -> None:
    step = Step()
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), parallel=1, wake=nothing, ordered_step=step)
    pipeline.put(sampled(0))
    await until(lambda: step.seen == [0])
    pipeline.put(SampledFrame(1, 0.1, 1, error="damaged"))
    taken: list[int] = []

    def both_taken() -> bool:
        taken.extend(frames_of(pipeline.take().entries))
        return taken == [0, 1]

    await until(both_taken)
    pipeline.stop()
    assert pipeline.take().is_over


async def test_it_is_given_the_pictures_of_a_live_source_in_which_something_was_found(
    held: HeldDetector,
) -> None:
    """The next frame's picture as it is; those after it were encoded, so that the decoder has them back."""
    given: dict[int, tuple[bool, bytes | None]] = {}

    def step(task: FrameTask) -> None:
        given[task.frame] = task.picture is not None, task.jpeg

    def detect(task: FrameTask) -> tuple[Detection, ...]:
        return held.detect(task) if task.frame != 2 else held.detect(task)[:0]

    pipeline = Pipeline(
        detect,
        workers=Workers(4),
        parallel=4,
        wake=nothing,
        ordered_step=step,
        encode=lambda frame, _picture: b"%d" % frame,
    )
    pipeline.note(LIVE)
    for frame in range(4):
        pipeline.put(sampled(frame))
    tasks = [task for task in pipeline._line if isinstance(task, FrameTask)]
    held.release(1, 2, 3)
    await until(lambda: [task.picture for task in tasks[1:]] == [None] * 3)
    assert given == {}
    held.release(0)
    await until(lambda: len(given) == 4)
    pipeline.end(ENDED)
    await take_all(pipeline)
    assert given == {0: (True, None), 1: (False, b"1"), 2: (False, None), 3: (False, b"3")}
    assert [task.picture for task in tasks] == [None] * 4


async def test_without_it_nothing_is_kept_for_it() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), parallel=1, wake=nothing)
    with feeding(pipeline, [sampled(0), SampledFrame(1, 0.1, 1, error="damaged")]):
        await take_all(pipeline)
    assert not pipeline._unstepped
