"""Decoding in a process of its own: the same results, and an end to it whatever it does."""

import mmap
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import anyio
import msgspec
import psutil
import pytest

from app.detectors.factory import make_detector
from app.detectors.onnx.cache import ModelCache
from app.domain.detector_config import DetectorConfig, Marker, Mock, Motion, Onnx
from app.domain.prediction import Detection
from app.domain.sampling import EveryFrame, FixedRate, KeyframesOnly, Sampling
from app.domain.source import parse_source
from app.runner.frames.pipeline import Pipeline
from app.runner.frames.tasks import FrameTask
from app.runner.frames.workers import Workers
from app.video.decoder import parent as decoder_process
from app.video.decoder.parent import ProcessReader
from app.video.decoder.protocol import DecoderMessage, ReadEnded, SharedFrame
from app.video.pictures import AvPicture
from app.video.reader import ThreadReader
from app.video.reading import ReadRequest, ReadStatus, SampledFrame, StartingPoint, Watermark
from tests.support.cameras import RtspCamera
from tests.support.clips import marker_clip
from tests.support.models import yolov8
from tests.support.paths import ROOT
from tests.support.waiting import until
from tests.torture.decoder.fragile_decoder import FRAME
from tests.video.test_pictures import frame

FRAMES = 60
ENDLESS = "test:testsrc2?size=64x36&rate=100&duration=86400"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("decoder")
    clip = marker_clip(folder / "clip.mp4", frames=FRAMES, size=(320, 240), gop=12)
    for name in ("crashes", "aborts", "hangs"):
        (folder / f"{name}.mp4").symlink_to(clip)
    marker_clip(folder / "camera.mp4", frames=90, size=(320, 240), gop=30, bframes=0)
    yolov8(folder / "model.onnx", (64, 96))
    return folder


class Reading:
    """A source that is being read, and what has come of it."""

    def __init__(self, kind: type[ThreadReader] | type[ProcessReader], folder: Path, **options: Any) -> None:
        self._changed = Event()
        self._detector = make_detector(options.get("detector", Mock()), ModelCache(folder))
        sampling: Sampling = options.get("sampling", EveryFrame())
        self.pipeline = Pipeline(self._detect, workers=Workers(1), parallel=1, wake=self._changed.set)
        source = parse_source(options.get("source", "clip.mp4"))
        start: StartingPoint = options.get("start", StartingPoint())
        self.reader = kind(ReadRequest(source, str(folder.absolute()), "loopback", sampling, start=start))
        self.entries: list[FrameTask | Watermark] = []
        self.status = ReadStatus()
        self.is_over = False
        self.reader.start(self.pipeline)

    def _detect(self, task: FrameTask) -> tuple[Detection, ...]:
        assert task.picture is not None
        return self._detector.detect(task.picture, task.frame)

    def take(self) -> bool:
        """Take what is done. Returns whether it is over."""
        taken = self.pipeline.take()
        self.entries += taken.entries
        self.status = taken.status
        self.is_over = taken.is_over
        return self.is_over

    @property
    def frames(self) -> list[FrameTask]:
        return [entry for entry in self.entries if isinstance(entry, FrameTask)]

    @property
    def rows(self) -> list[tuple[object, ...]]:
        return [(task.frame, task.time, task.sampled, task.detections, task.error) for task in self.frames]

    async def ends(self) -> None:
        await until(self.take, timeout=60)

    def stop(self) -> None:
        self.reader.stop()
        self.pipeline.stop()


@contextmanager
def reading(
    kind: type[ThreadReader] | type[ProcessReader], folder: Path, **options: Any
) -> Iterator[Reading]:
    read = Reading(kind, folder, **options)
    try:
        yield read
    finally:
        read.stop()


_others: set[int] = set()


@pytest.fixture(autouse=True)
def others() -> None:
    """Note the children that there are before a test, such as what is left of database servers."""
    _others.clear()
    _others.update(child.pid for child in psutil.Process().children())


def decoders(process: psutil.Process | None = None) -> list[psutil.Process]:
    """The processes that decode for this one, or for another."""
    children: list[psutil.Process] = (process or psutil.Process()).children()
    return [child for child in children if child.pid not in _others and _is_left_of_a_decoder(child)]


def _is_left_of_a_decoder(process: psutil.Process) -> bool:
    """Also where it has ended and nobody has asked how; the tests have other children too."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or "decoder" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("detector", "sampling"),
    [
        (Marker(), EveryFrame()),
        (Motion(), FixedRate(10)),
        (Onnx(model="model.onnx", confidence=0.3), FixedRate(5)),
        (Mock(), KeyframesOnly()),
    ],
)
async def test_results_do_not_depend_on_where_it_is_decoded(
    folder: Path, detector: DetectorConfig, sampling: Sampling
) -> None:
    rows, opened = [], []
    for kind in (ThreadReader, ProcessReader):
        with reading(kind, folder, detector=detector, sampling=sampling) as read:
            await read.ends()
            assert read.status.is_completed
            assert read.status.fault is None
        rows.append(read.rows)
        opened.append((read.status.media, read.status.candidates))
    assert rows[0] == rows[1]
    assert len(rows[0]) >= 5
    assert opened[0] == opened[1]


async def test_faults_of_sources_are_reported_alike(folder: Path) -> None:
    told = []
    for kind in (ThreadReader, ProcessReader):
        with reading(kind, folder, source="missing.mp4") as read:
            await read.ends()
            assert read.status.fault is not None
            told.append(read.status.fault)
    assert told[0] == told[1]


@pytest.mark.parametrize(("source", "reason"), [("crashes.mp4", "segmentation"), ("aborts.mp4", "abort")])
async def test_a_crash_fails_the_run_that_met_it_after_what_came_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, reason: str
) -> None:
    monkeypatch.setattr(
        decoder_process, "COMMAND", (sys.executable, "-m", "tests.torture.decoder.fragile_decoder")
    )
    with reading(ProcessReader, folder, source=source) as read:
        await read.ends()
    assert [task.frame for task in read.frames] == list(range(FRAME))
    fault = read.status.fault
    assert fault is not None
    assert fault.is_retryable
    assert fault.message.startswith(f"the process that decodes {source} crashed ({reason}")


@pytest.mark.parametrize("source", ["hangs.mp4", "clip.mp4"])
async def test_a_process_that_is_stuck_or_frozen_is_killed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(
        decoder_process, "COMMAND", (sys.executable, "-m", "tests.torture.decoder.fragile_decoder")
    )
    monkeypatch.setattr(decoder_process, "SILENCE", 6.0)
    endless = ENDLESS if source == "clip.mp4" else source
    with reading(ProcessReader, folder, source=endless) as read:
        await until(lambda: not read.take() and len(read.frames) >= FRAME, timeout=30)
        if source == "clip.mp4":
            decoders()[0].send_signal(signal.SIGSTOP)
        await read.ends()
        assert read.status.fault is not None
        assert "was stuck for 6 s" in read.status.fault.message
    await until(lambda: not decoders())


async def test_a_killed_process_is_reported_and_nothing_of_it_is_left(folder: Path) -> None:
    with reading(ProcessReader, folder, source=ENDLESS) as read:
        await until(lambda: not read.take() and read.frames, timeout=30)
        decoders()[0].kill()
        await read.ends()
        assert read.status.fault is not None
        assert "killed from outside" in read.status.fault.message
    await until(lambda: not decoders())
    assert not any(thread.name == "decode" for thread in threading.enumerate())


async def test_a_stopped_process_ends_at_once_and_without_a_fault(folder: Path) -> None:
    with reading(ProcessReader, folder, source=ENDLESS) as read:
        await until(lambda: not read.take() and read.frames, timeout=30)
        read.stop()
        await read.ends()
        assert read.status.fault is None
    await until(lambda: not decoders(), timeout=8)
    assert read.pipeline.take().status.fault is None


async def test_a_decoder_process_has_limits_and_none_of_the_service_s_secrets(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VA_API_KEYS", "a secret of this service")
    with reading(ProcessReader, folder, source=ENDLESS) as read:
        await until(lambda: not read.take() and read.frames, timeout=30)
        process = decoders()[0]
        assert "VA_API_KEYS" not in process.environ()
        if sys.platform == "linux":
            assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
            assert process.rlimit(psutil.RLIMIT_NOFILE)[1] <= 128
            assert process.rlimit(psutil.RLIMIT_DATA)[1] <= 2560 * 2**20
            status = await anyio.Path(f"/proc/{process.pid}/status").read_text()
            assert "NoNewPrivs:\t1" in status


def test_a_decoding_process_imports_no_database_driver_bus_or_role() -> None:
    command = "import sys, app.video.decoder.child; print(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, check=True, capture_output=True, text=True
    )
    modules = set(printed.stdout.split())
    assert {"app.video.decoder.child", "app.video.reader", "av"} <= modules
    unwanted = {"aiokafka", "anyio", "asyncpg", "litestar"}
    unwanted |= {"app.bus", "app.messages", "app.postgres", "app.predictions", "app.runner", "app.scenarios"}
    assert not modules & unwanted


_RUNNER = f"""
import sys, time
from pathlib import Path
from tests.video.decoder.test_process import ProcessReader, Reading
read = Reading(ProcessReader, Path("."), source={ENDLESS!r})
while not (read.take() or read.frames):
    time.sleep(0.01)
print("reading", flush=True)
while not read.take():
    time.sleep(0.01)
"""


@pytest.mark.parametrize("frozen", [False, True] if sys.platform == "linux" else [False])
async def test_a_decoder_process_does_not_outlive_a_killed_runner(frozen: bool) -> None:
    command = [sys.executable, "-c", _RUNNER]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as runner:  # noqa: ASYNC220
        try:
            assert runner.stdout is not None
            assert runner.stdout.readline() == b"reading\n"
            [process] = decoders(psutil.Process(runner.pid))
            if frozen:
                process.send_signal(signal.SIGSTOP)
        finally:
            runner.kill()
    await until(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)


async def test_a_camera_is_read_and_reconnected(folder: Path) -> None:
    with RtspCamera(folder / "camera.mp4") as camera:
        with reading(ProcessReader, folder, source=camera.url) as read:
            await until(lambda: not read.take() and len(read.frames) > 10, timeout=30)
            assert read.status.is_live
            camera.kill()
            await until(lambda: not read.take() and read.status.state == "reconnecting")
            camera.start()
            await until(lambda: not read.take() and read.status.state == "open", timeout=30)
        await until(lambda: len(decoders()) == 1, timeout=8)  # the camera's
    frames = [task.frame for task in read.frames]
    assert frames == sorted(set(frames))


async def test_messages_after_a_stop_are_ignored(folder: Path) -> None:
    """The process may have said already that it is done, of frames that nobody has taken."""
    begun, go = Event(), Event()

    def detect(task: FrameTask) -> tuple[Detection, ...]:
        begun.set()
        go.wait(10)
        return ()

    pipeline = Pipeline(detect, workers=Workers(1), parallel=1, wake=lambda: None)
    pipeline.put(SampledFrame(7, 0.7, 7, AvPicture(frame("yuv420p"))))
    await until(begun.is_set)
    process = ProcessReader(ReadRequest(parse_source("clip.mp4"), str(folder), "", EveryFrame()))
    said: list[DecoderMessage] = [
        SharedFrame(8, 0.8, 8, None, None),
        Watermark(9, 0.8),
        ReadEnded(ReadStatus("open", is_completed=True)),
    ]
    with closing(process._link), closing(process._far) as far, mmap.mmap(-1, 4096) as memory:
        far.sendall(b"".join(msgspec.json.encode(message) + b"\n" for message in said))
        pipeline.stop()
        assert process._read(memory, pipeline)
    pipeline.end(process._status)
    go.set()
    entries: list[FrameTask | Watermark] = []

    def is_over() -> bool:
        taken = pipeline.take()
        entries.extend(taken.entries)
        return taken.is_over

    await until(is_over)
    assert [getattr(entry, "frame", None) for entry in entries] == [7]
    assert not pipeline.take().status.is_completed
