"""The line of frames: in order, bounded, and stopped without losing what was begun."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from app.domain.prediction import Detection
from app.runner import workers
from app.runner.pipeline import MAX_LINE, MAX_TAKEN, Item, Mark, Pipeline
from app.runner.workers import Workers
from tests.support.pictures import ArrayPicture, plain
from tests.support.waiting import until

PICTURE = ArrayPicture(plain(4, 4))
FOUND = (Detection("x", 1.0, (0.0, 0.0, 1.0, 1.0)),)


def item(frame: int) -> Item:
    return Item(frame, frame / 30, frame, PICTURE)


class Gate:
    """A detector that waits to be let go, frame by frame."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.open: dict[int, Event] = {}

    def detect(self, entry: Item) -> tuple[Detection, ...]:
        self.begun.append(entry.frame)
        self.open.setdefault(entry.frame, Event()).wait(10)
        return FOUND

    def let_go(self, *frames: int) -> None:
        for frame in frames:
            self.open.setdefault(frame, Event()).set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.let_go(*range(100))


@contextmanager
def feeding(pipeline: Pipeline, entries: list[Item | Mark]) -> Iterator[list[bool]]:
    """Put entries from a thread, as a decoder does; gives what each put returned."""
    returned: list[bool] = []

    def feed() -> None:
        for entry in entries:
            put = pipeline.put(entry)
            returned.append(put)
        pipeline.end()

    thread = Thread(target=feed)
    thread.start()
    yield returned
    pipeline.stop()
    thread.join(10)
    assert not thread.is_alive()


def nothing() -> None:
    pass


def frames_of(entries: list[Item | Mark]) -> list[int]:
    return [entry.frame if isinstance(entry, Item) else -entry.end for entry in entries]


async def take_all(pipeline: Pipeline) -> list[Item | Mark]:
    taken: list[Item | Mark] = []

    def over() -> bool:
        ready = pipeline.take()
        taken.extend(ready.entries)
        return ready.over

    await until(over)
    return taken


async def test_what_is_done_comes_out_in_order_whatever_finishes_first(gate: Gate) -> None:
    pipeline = Pipeline(gate.detect, workers=Workers(2), most=2, wake=nothing)
    with feeding(pipeline, [item(0), item(1), Mark(5, 0.2)]):
        await until(lambda: len(gate.begun) == 2)
        gate.let_go(1)
        await until(lambda: gate.open[1].is_set())
        assert pipeline.take().entries == []
        gate.let_go(0)
        assert frames_of(await take_all(pipeline)) == [0, 1, -5]


async def test_what_should_be_last_waits_for_the_end_to_be_taken_with_it() -> None:
    woken: list[None] = []
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), most=1, wake=lambda: woken.append(None))
    pipeline.closing = True
    entry = item(0)
    pipeline.put(entry)
    await until(lambda: entry.is_done)
    assert woken == []
    pipeline.end()
    await until(lambda: woken)
    ready = pipeline.take()
    assert (frames_of(ready.entries), ready.over, ready.all_done) == ([0], True, True)


async def test_a_recording_waits_for_a_slow_detector(gate: Gate) -> None:
    pipeline = Pipeline(gate.detect, workers=Workers(2), most=2, wake=nothing)
    with feeding(pipeline, [item(frame) for frame in range(50)]) as returned:
        await until(lambda: len(gate.begun) == 2 and len(returned) >= 4)
        assert len(returned) == 4
        gate.let_go(*range(50))
        assert frames_of(await take_all(pipeline)) == list(range(50))


async def test_a_recording_waits_for_a_database_that_takes_nothing() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(2), most=2, wake=nothing)
    with feeding(pipeline, [item(frame) for frame in range(MAX_LINE + 100)]) as returned:
        await until(lambda: len(returned) >= MAX_LINE)
        assert len(returned) == MAX_LINE
        assert len(await take_all(pipeline)) == MAX_LINE + 100


async def test_what_is_done_is_taken_in_bounded_batches_also_after_a_stop() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(2), most=2, wake=nothing)
    for frame in range(MAX_TAKEN + 10):
        pipeline.put(Item(frame, 0.0, frame, None, error="damaged"))
    pipeline.stop()
    first, rest = pipeline.take(), pipeline.take()
    assert frames_of(first.entries) == list(range(MAX_TAKEN))
    assert not first.over
    assert frames_of(rest.entries) == list(range(MAX_TAKEN, MAX_TAKEN + 10))
    assert rest.over


async def test_a_live_source_loses_the_oldest_frames_that_nobody_began_with(gate: Gate) -> None:
    pipeline = Pipeline(gate.detect, workers=Workers(1), most=1, wake=nothing)
    pipeline.live = True
    pipeline.put(item(10))
    await until(lambda: gate.begun == [10])
    for frame in range(11, 20):
        assert pipeline.put(item(frame))
    pipeline.end()
    gate.let_go(*range(10, 20))
    taken = await take_all(pipeline)
    assert frames_of(taken) == list(range(10, 20))
    dropped = [entry.frame for entry in taken if isinstance(entry, Item) and entry.dropped]
    assert dropped == list(range(11, 19))


async def test_a_live_source_counts_what_it_loses_when_nothing_is_stored() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), most=1, wake=nothing)
    pipeline.live = True
    for frame in range(MAX_LINE + 10):
        pipeline.put(item(frame))
    pipeline.end()
    taken = await take_all(pipeline)
    assert len(taken) == MAX_LINE + 1
    assert isinstance(taken[-1], Mark)
    assert (taken[-1].end, taken[-1].dropped) == (MAX_LINE + 10, 10)


async def test_stopping_finishes_what_was_begun_and_nothing_else(gate: Gate) -> None:
    pipeline = Pipeline(gate.detect, workers=Workers(2), most=2, wake=nothing)
    with feeding(pipeline, [item(frame) for frame in range(50)]) as returned:
        await until(lambda: len(gate.begun) == 2)
        pipeline.stop()
        assert not pipeline.take().over
        gate.let_go(0, 1)
        taken = await take_all(pipeline)
        assert frames_of(taken) == [0, 1]
        assert not pipeline.take().all_done
        await until(lambda: returned[-1] is False)


async def test_a_fault_of_the_detector_costs_one_frame() -> None:
    def detect(entry: Item) -> tuple[Detection, ...]:
        if entry.frame == 1:
            raise ValueError("no such colour")
        return FOUND

    pipeline = Pipeline(detect, workers=Workers(1), most=1, wake=nothing)
    with feeding(pipeline, [item(0), item(1), item(2)]):
        taken = await take_all(pipeline)
    errors = [entry.error for entry in taken if isinstance(entry, Item)]
    assert errors[0] is None
    assert errors[2] is None
    assert "no such colour" in str(errors[1])


async def test_pictures_are_let_go_as_soon_as_they_were_looked_at() -> None:
    pipeline = Pipeline(lambda _: FOUND, workers=Workers(1), most=1, wake=nothing)
    with feeding(pipeline, [item(0)]):
        (entry,) = await take_all(pipeline)
    assert isinstance(entry, Item)
    assert entry.picture is None


async def test_the_event_loop_is_woken_once_there_is_something_to_take(gate: Gate) -> None:
    woken: list[bool] = []
    wake: Callable[[], None] = lambda: woken.append(True)  # noqa: E731
    pipeline = Pipeline(gate.detect, workers=Workers(1), most=1, wake=wake)
    with feeding(pipeline, [item(0), item(1)]):
        await until(lambda: gate.begun == [0])
        assert pipeline.take().entries == []
        assert woken == []
        gate.let_go(0)
        await until(lambda: woken)
        assert frames_of(pipeline.take().entries) == [0]
        assert len(woken) == 1


async def test_the_event_loop_is_woken_at_the_end_even_where_it_does_not_wait(gate: Gate) -> None:
    woken: list[bool] = []
    pipeline = Pipeline(gate.detect, workers=Workers(1), most=1, wake=lambda: woken.append(True))
    pipeline.put(item(0))
    gate.let_go(0)
    await until(lambda: woken)
    assert frames_of(pipeline.take().entries) == [0]
    woken.clear()
    pipeline.end()
    assert woken


async def test_one_worker_looks_at_one_frame_at_a_time_where_only_one_may(gate: Gate) -> None:
    pipeline = Pipeline(gate.detect, workers=Workers(2), most=1, wake=nothing)
    with feeding(pipeline, [item(0), item(1)]):
        await until(lambda: gate.begun == [0])
        gate.let_go(0)
        await until(lambda: gate.begun == [0, 1])
        gate.let_go(1)
        assert frames_of(await take_all(pipeline)) == [0, 1]


async def test_frames_that_come_slowly_wait_for_others_no_longer_than_until_the_event_loop_comes_by() -> None:
    begun: list[int] = []

    def detect(entry: Item) -> tuple[Detection, ...]:
        begun.append(entry.frame)
        return FOUND

    pipeline = Pipeline(detect, workers=Workers(1), most=2, wake=nothing)
    pipeline.put(item(0))
    taken = 0

    def first_taken() -> bool:
        nonlocal taken
        taken += len(pipeline.take().entries)
        return taken == 1

    await until(first_taken)
    assert begun == [0]
    pipeline.put(item(1))
    assert begun == [0]  # no thread was woken for it
    pipeline.take()
    await until(lambda: begun == [0, 1])
    pipeline.put(item(2))
    pipeline.put(item(3))  # half of the room is taken
    await until(lambda: begun == [0, 1, 2, 3])
    pipeline.put(item(4))
    pipeline.end()
    await until(lambda: begun == [0, 1, 2, 3, 4])


async def test_runs_that_share_workers_take_turns(gate: Gate) -> None:
    shared = Workers(1)
    first = Pipeline(gate.detect, workers=shared, most=1, wake=nothing)
    second = Pipeline(gate.detect, workers=shared, most=1, wake=nothing)
    with (
        feeding(first, [item(0), item(1), item(2)]) as fed_first,
        feeding(second, [item(10), item(11), item(12)]) as fed_second,
    ):
        await until(lambda: len(fed_first) == len(fed_second) == 3)
        gate.let_go(0, 1, 2, 10, 11, 12)
        await take_all(first)
        await take_all(second)
    assert gate.begun == ([0, 10, 1, 11, 2, 12] if gate.begun[0] == 0 else [10, 0, 11, 1, 12, 2])


async def test_where_no_thread_can_be_started_nothing_is_taken_on(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    pipeline = Pipeline(gate.detect, workers=Workers(2), most=2, wake=nothing)
    with monkeypatch.context() as patched:
        patched.setattr(workers, "start_thread", start)
        with pytest.raises(RuntimeError):
            pipeline.put(item(0))
    pipeline.stop()
    assert pipeline.take().over
