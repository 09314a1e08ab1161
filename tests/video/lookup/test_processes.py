"""Picture processes: two at once, started when needed, and given up when they crash or hang."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from socket import SHUT_WR, socketpair

import anyio
import cv2
import msgspec
import numpy as np
import psutil
import pytest

from app.domain.picture import Image
from app.domain.prediction import Detection
from app.domain.source import parse_source
from app.video.drawing import Overlay
from app.video.lookup import child
from app.video.lookup.finder import StoredFrame, WantedFrame
from app.video.lookup.processes import PictureProcesses
from app.video.lookup.protocol import FrameJob, PictureResult
from tests.support import clips
from tests.support.waiting import until

FRAMES = 30
MANY = WantedFrame(StoredFrame(2_000_000, 20_000.0))  # of a test pattern, which takes minutes


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    clips.marker_clip(folder / "clip.mp4", frames=FRAMES, size=(320, 240), gop=12)
    return folder


@pytest.fixture
async def processes() -> AsyncIterator[PictureProcesses]:
    started = PictureProcesses()
    yield started
    started.close()


def job(
    media: Path, frame: int = 17, source: str = "clip.mp4", width: int = 1920, **options: object
) -> FrameJob:
    wanted = MANY if source.startswith("test:") else WantedFrame(StoredFrame(frame, frame / 30))
    return FrameJob(parse_source(source), str(media), "", wanted, width, **options)  # type: ignore[arg-type]


def endless(media: Path, seconds: float) -> FrameJob:
    source = "test:testsrc2?size=64x36&rate=100&duration=86400"
    return job(media, source=source, seconds=seconds)


def children() -> list[int]:
    running = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each.pid for each in running if "app.video.lookup.child" in each.cmdline()]


def decoded(jpeg: bytes, mode: int = cv2.IMREAD_GRAYSCALE) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), mode), np.uint8)


def marker_in(jpeg: bytes) -> int:
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    _, ids, _ = detector.detectMarkers(decoded(jpeg))
    return int(ids[0][0])


async def test_frames_are_shown_by_at_most_two_processes(media: Path, processes: PictureProcesses) -> None:
    shown: dict[int, int] = {}

    async def show(frame: int) -> None:
        result, jpeg = await processes.show(job(media, frame))
        assert result == PictureResult(size=len(jpeg))
        shown[frame] = marker_in(jpeg)

    async with anyio.create_task_group() as group:
        for frame in range(10):
            group.start_soon(show, frame)
    assert shown == {frame: frame for frame in range(10)}
    assert len(children()) == 2
    processes.close()
    await until(lambda: not children())


async def test_an_overlay_is_drawn_at_the_scale_of_the_picture(
    media: Path, processes: PictureProcesses
) -> None:
    box = clips.marker_box(17, (320, 240))
    overlay = Overlay((Detection("a", 0.5, tuple(map(float, box)), 3, 1),))  # type: ignore[arg-type]
    pictures = []
    for each in (None, overlay):
        _, jpeg = await processes.show(job(media, width=160, overlay=each))
        pictures.append(decoded(jpeg, cv2.IMREAD_COLOR).astype(int))
    assert [picture.shape for picture in pictures] == [(120, 160, 3)] * 2
    changed = np.abs(pictures[0] - pictures[1]).max(axis=2) > 60
    rows, columns = np.nonzero(changed[:, : box[2] // 2 + 4])
    assert abs(columns.min() - box[0] // 2) <= 2
    assert abs(columns.max() - box[2] // 2) <= 4
    assert abs(rows.max() - box[3] // 2) <= 2


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="needs Linux's idle scheduling")
@pytest.mark.parametrize("is_starved", [False, True])
def test_frames_take_what_scenarios_leave_of_the_processors_and_then_a_little_more(
    media: Path, monkeypatch: pytest.MonkeyPatch, *, is_starved: bool
) -> None:
    tries: list[tuple[int, float]] = []

    def answer(tried: FrameJob) -> tuple[PictureResult, bytes]:
        tries.append((os.sched_getscheduler(0), tried.seconds))
        is_slow = is_starved and len(tries) == 1
        return (PictureResult(fault="slow"), b"") if is_slow else (PictureResult(size=1), b"x")

    monkeypatch.setattr(child, "answer", answer)
    near, far = socketpair()
    with near, far:
        near.sendall(msgspec.json.encode(job(media, seconds=50.0)) + b"\n")
        near.shutdown(SHUT_WR)
        child.serve(far)
        far.shutdown(SHUT_WR)
        assert near.makefile("rb").read() == b"\n" + msgspec.json.encode(PictureResult(size=1)) + b"\nx"
    assert tries[0] == (os.SCHED_IDLE, child._IDLE_SECONDS)
    if is_starved:
        assert tries[1][0] == os.sched_getscheduler(0) != os.SCHED_IDLE
        assert 0 < tries[1][1] <= 50
    assert len(tries) == 1 + is_starved


def test_frames_are_shown_if_idle_scheduling_is_forbidden(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    monkeypatch.setattr(os, "sched_param", int, raising=False)
    near, far = socketpair()
    with near, far:
        near.sendall(msgspec.json.encode(job(media)) + b"\n")
        near.shutdown(SHUT_WR)
        child.serve(far)
        far.shutdown(SHUT_WR)
        _, result, jpeg = near.makefile("rb").read().split(b"\n", 2)
    assert msgspec.json.decode(result, type=PictureResult) == PictureResult(size=len(jpeg))


async def test_what_takes_too_long_is_given_up(media: Path, processes: PictureProcesses) -> None:
    result, _ = await processes.show(endless(media, 0.3))
    assert result.fault == "slow"


async def test_a_process_that_hangs_is_killed_and_another_started(
    media: Path, processes: PictureProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    await processes.show(job(media))
    (stopped,) = children()
    os.kill(stopped, signal.SIGSTOP)
    result, _ = await processes.show(job(media, seconds=0.1))
    assert result.fault == "slow"
    result, jpeg = await processes.show(job(media))
    assert (result.fault, marker_in(jpeg)) == (None, 17)
    assert stopped not in children()


async def test_a_crash_costs_one_picture(media: Path, processes: PictureProcesses) -> None:
    await processes.show(job(media))
    (crashing,) = map(psutil.Process, children())
    idle = crashing.cpu_times().user
    results: list[PictureResult] = []

    async def show_endlessly() -> None:
        results.append((await processes.show(endless(media, 30)))[0])

    async with anyio.create_task_group() as group:
        group.start_soon(show_endlessly)
        await until(lambda: crashing.cpu_times().user > idle + 0.1)
        crashing.send_signal(signal.SIGSEGV)
    assert results[0].fault == "unreadable"
    assert "the decoder crashed" in results[0].text
    result, jpeg = await processes.show(job(media))
    assert (result.fault, marker_in(jpeg)) == (None, 17)


async def test_a_process_that_ended_while_it_was_idle_is_started_again(
    media: Path, processes: PictureProcesses
) -> None:
    await processes.show(job(media))
    (idle,) = children()
    idle_process = psutil.Process(idle)
    link = processes._idle[-1]._link
    assert link is not None
    link.shutdown(SHUT_WR)
    await until(lambda: idle_process.status() == psutil.STATUS_ZOMBIE)
    result, jpeg = await processes.show(job(media))
    assert (result.fault, marker_in(jpeg)) == (None, 17)


async def test_a_picture_process_gets_no_setting_of_the_service(
    media: Path, processes: PictureProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VA_API_KEYS", "key-of-the-service")
    await processes.show(job(media))
    (child,) = map(psutil.Process, children())
    assert not [name for name in child.environ() if name.startswith("VA_")]
    assert child.nice() == 19
