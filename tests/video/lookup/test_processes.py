"""Picture processes: idle ones and a nice one, started when needed, given up when they crash or hang."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from socket import SHUT_WR

import anyio
import cv2
import numpy as np
import psutil
import pytest

from app.domain.picture import Image
from app.domain.prediction import Detection
from app.domain.source import parse_source
from app.video.drawing import Overlay
from app.video.lookup import child
from app.video.lookup import processes as child_processes
from app.video.lookup.finder import StoredFrame, WantedFrame
from app.video.lookup.processes import AT_ONCE, PictureProcesses
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
async def processes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[PictureProcesses]:
    """Picture processes, of which the nice one is asked only by tests that change this."""
    monkeypatch.setattr(child_processes, "IDLE_SECONDS", 60.0)
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


def schedulers(process: int) -> set[int]:
    """Return the scheduling policies of the threads of a process."""
    return {os.sched_getscheduler(thread.id) for thread in psutil.Process(process).threads()}


def children() -> list[int]:
    running = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each.pid for each in running if "app.video.lookup.child" in each.cmdline()]


def decoded(jpeg: bytes, mode: int = cv2.IMREAD_GRAYSCALE) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), mode), np.uint8)


def marker_in(jpeg: bytes) -> int:
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_5X5_1000))
    _, ids, _ = detector.detectMarkers(decoded(jpeg))
    return int(ids[0][0])


async def test_frames_are_shown_by_two_processes_at_once(media: Path, processes: PictureProcesses) -> None:
    shown: dict[int, int] = {}

    async def show(frame: int) -> None:
        result, jpeg = await processes.show(job(media, frame))
        assert result == PictureResult(size=len(jpeg))
        shown[frame] = marker_in(jpeg)

    async with anyio.create_task_group() as group:
        for frame in range(10):
            group.start_soon(show, frame)
    assert shown == {frame: frame for frame in range(10)}
    assert len(children()) == AT_ONCE == 2
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
async def test_frames_take_what_scenarios_leave_of_the_processors(
    media: Path, processes: PictureProcesses
) -> None:
    await processes.show(job(media))
    (process,) = children()
    assert schedulers(process) == {os.SCHED_IDLE}  # one other thread could wait for an idle one for ever


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="needs Linux's idle scheduling")
async def test_frames_are_shown_if_scenarios_leave_no_time_at_all(
    media: Path, processes: PictureProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    await processes.show(job(media))
    (starved,) = children()
    os.kill(starved, signal.SIGSTOP)
    monkeypatch.setattr(child_processes, "IDLE_SECONDS", 0.1)
    result, jpeg = await processes.show(job(media, frame=3))
    assert (result.fault, marker_in(jpeg)) == (None, 3)
    (nice,) = set(children()) - {starved}
    assert os.SCHED_IDLE not in schedulers(nice)

    os.kill(starved, signal.SIGCONT)
    await until(lambda: not processes._idle[0].is_busy)
    monkeypatch.setattr(child_processes, "IDLE_SECONDS", 60.0)
    os.kill(nice, signal.SIGSTOP)
    result, jpeg = await processes.show(job(media, frame=4))
    assert (result.fault, marker_in(jpeg)) == (None, 4)


async def test_no_frame_waits_for_an_idle_process_that_still_has_the_one_before(
    media: Path, processes: PictureProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(processes.show, job(media))
    starved = children()
    for process in starved:
        os.kill(process, signal.SIGSTOP)
    monkeypatch.setattr(child_processes, "IDLE_SECONDS", 0.1)
    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(processes.show, job(media))
    monkeypatch.setattr(child_processes, "IDLE_SECONDS", 1e6)
    result, jpeg = await processes.show(job(media, frame=5))
    assert (result.fault, marker_in(jpeg)) == (None, 5)
    assert len(children()) == len(starved) + 1


def test_frames_are_shown_if_idle_scheduling_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[tuple[object, ...]] = []

    def refuse(*arguments: object) -> None:
        refused.append(arguments)
        raise PermissionError

    monkeypatch.setattr(os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(os, "sched_setscheduler", refuse, raising=False)
    monkeypatch.setattr(os, "sched_param", int, raising=False)
    monkeypatch.setattr(os, "setpriority", lambda *_: None)
    child.lower_priority(is_idle=False)
    assert not refused
    child.lower_priority(is_idle=True)
    assert refused


async def test_what_takes_too_long_is_given_up(media: Path, processes: PictureProcesses) -> None:
    result, _ = await processes.show(endless(media, 0.3))
    assert result.fault == "slow"


async def test_a_process_that_hangs_is_killed_and_another_started(
    media: Path, processes: PictureProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    await processes.show(job(media))
    (stopped,) = children()
    monkeypatch.setattr(child_processes, "IDLE_SECONDS", 0.1)
    monkeypatch.setattr(child_processes, "_STARVED_SECONDS", 0.2)
    os.kill(stopped, signal.SIGSTOP)
    result, _ = await processes.show(job(media, seconds=0.1))
    assert result.fault == "slow"
    await until(lambda: not processes._idle[0].is_busy)
    result, jpeg = await processes.show(job(media))
    assert (result.fault, marker_in(jpeg)) == (None, 17)
    await until(lambda: stopped not in children())


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
    link = processes._idle[0]._link
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
