"""What a run does for a detector that needs frames in order, one thread, or no core of its own."""

import threading
import time
from threading import Event
from typing import ClassVar

import pytest
from anyio import fail_after

from app.detectors.base import Detector, WarmUp
from app.domain.picture import Picture
from app.domain.prediction import Detection
from app.messages import RunFinished
from app.runner import run as run_module
from tests.runner.runs import EVERY_FRAME, MOCK, World, executing, spec
from tests.support.waiting import until

FRAMES = 90


class Noting(Detector):
    """Notes what it is given, by which thread, and whether two calls overlapped."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.threads: set[int] = set()
        self.has_overlapped = False
        self._calls = 0

    def detect(self, _picture: Picture, frame: int) -> tuple[Detection, ...]:
        self._calls += 1
        self.has_overlapped |= self._calls > 1
        time.sleep(0.002 * (frame % 3))
        self.frames.append(frame)
        self.threads.add(threading.get_ident())
        self._calls -= 1
        return ()


class Ordered(Noting):
    is_ordered = True


class SingleThreaded(Noting):
    is_single_threaded = True


class WaitsForNetwork(Noting):
    servers = "http://gpu"


class WarmedUp(Noting):
    """Keeps its instances. A warm-up implies order."""

    warm_up = WarmUp(rebuild_every=20, frames=5)
    instances: ClassVar[list["WarmedUp"]] = []

    def __init__(self) -> None:
        super().__init__()
        self.instances.append(self)


async def execute(world: World, detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "make_detector", lambda *_: detector)
    await world.run(spec("short.mp4", MOCK, EVERY_FRAME)).execute()
    assert isinstance(world.events[-1], RunFinished)
    assert [row["frame"] for row in await world.stored()] == list(range(FRAMES))


async def test_without_needs_it_is_called_in_parallel(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Noting()
    await execute(threaded, detector, monkeypatch)
    assert sorted(detector.frames) == list(range(FRAMES))
    assert detector.has_overlapped


async def test_an_ordered_one_gets_its_frames_in_order_and_one_at_a_time(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Ordered()
    await execute(threaded, detector, monkeypatch)
    assert detector.frames == list(range(FRAMES))
    assert not detector.has_overlapped


async def test_a_single_threaded_one_is_called_in_one_thread_that_ends_with_the_run(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = SingleThreaded()
    await execute(threaded, detector, monkeypatch)
    assert sorted(detector.frames) == list(range(FRAMES))
    assert len(detector.threads) == 1
    assert not detector.has_overlapped
    (thread,) = detector.threads
    await until(lambda: thread not in {each.ident for each in threading.enumerate() if each.name == "detect"})


async def test_one_with_a_warm_up_is_rebuilt_at_fixed_frames(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    WarmedUp.instances.clear()
    monkeypatch.setattr(run_module, "make_detector", lambda *_: WarmedUp())
    await threaded.run(spec("short.mp4", MOCK, EVERY_FRAME)).execute()
    _made_to_look_at, *instances = WarmedUp.instances
    assert [instance.frames for instance in sorted(instances, key=lambda each: each.frames)] == [
        list(range(max(0, first - 5), min(first + 20, FRAMES))) for first in range(0, FRAMES, 20)
    ]


async def test_one_that_waits_for_a_network_needs_no_core(
    threaded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes none: all cores are taken by tasks that do not end."""
    detector, go, busy = WaitsForNetwork(), Event(), []

    def occupy() -> bool:
        busy.append(True)
        go.wait(120)
        return False

    monkeypatch.setattr(run_module, "make_detector", lambda *_: detector)
    run = threaded.run(spec("short.mp4", MOCK, EVERY_FRAME))
    cores = run._context.workers.cores
    for _ in range(cores.count):
        cores.submit(occupy)
    await until(lambda: len(busy) == cores.count)
    try:
        with fail_after(60):
            async with executing(run):
                pass
        assert isinstance(threaded.events[-1], RunFinished)
        assert sorted(detector.frames) == list(range(FRAMES))
        assert detector.has_overlapped
    finally:
        go.set()
