"""A service that reads sources with faults, and neighbours of theirs that work."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import psutil
from anyio import create_task_group, move_on_after
from anyio.abc import TaskGroup
from httpx import Response, TransportError
from msgspec import Struct

from tests.support.cameras import RtspCamera
from tests.support.clips import encode, marker_clip, truncate
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until
from tests.torture.battery import size
from tests.torture.sources import videos
from tests.torture.sources.cameras import (
    CameraProxy,
    Fault,
    FaultySource,
    Kind,
    LiveStream,
    Playlist,
    RecordingServer,
    SnapshotCamera,
    Video,
)
from tests.torture.sources.verifier import FRAMES, FaultCase, Verifier

IN_TIME = 10.0
"""Seconds within which a fault must be noticed."""

MOCK, MARKER = {"type": "mock"}, {"type": "marker"}
ALL = {"mode": "all"}

CONNECTED: tuple[Kind, ...] = ("rtsp", "mpegts", "mjpeg", "snapshot", "hls", "recording")
KINDS: dict[Fault, tuple[Kind, ...]] = {
    Fault.SILENT: CONNECTED,
    Fault.STALL: CONNECTED,
    Fault.RESET: CONNECTED,
    Fault.HALF_OPEN: CONNECTED,
    Fault.DRIP: CONNECTED,
    Fault.ENDLESS: CONNECTED,
    Fault.TRUNCATED: ("rtsp", "mpegts", "mjpeg", "snapshot", "recording", "file"),
    Fault.CHANGE: ("mpegts", "mpegts", "mjpeg", "snapshot", "hls", "file"),
    Fault.FROZEN: ("rtsp", "mpegts", "mjpeg", "mjpeg", "snapshot", "hls"),
}


class Cameras(Struct):
    """What sources are made of. `long` is a recording of so many `seconds`."""

    moving: RtspCamera
    still: RtspCamera
    recording: bytes
    long: bytes
    seconds: float
    media: Path

    def make_case(
        self, kind: Kind, fault: Fault, *, again: bool = False, is_repaired: bool = False
    ) -> FaultCase:
        """A source of this kind with this fault; `again`: with the other change of a video."""
        server: FaultySource | None = None
        h264 = videos.transport_stream()
        still = fault is Fault.FROZEN
        changed: Video | None = None
        match kind:
            case "rtsp":

                def camera(is_repaired: bool) -> tuple[str, int]:
                    return "127.0.0.1", (self.still if still and not is_repaired else self.moving).port

                server = CameraProxy(fault, "/clip.mp4/play_count_0", camera, is_repaired=is_repaired)
            case "mpegts" | "hls":
                if still:
                    changed = videos.transport_stream(still=True)
                elif fault is Fault.CHANGE:
                    changed = videos.transport_stream(
                        *(("libx265",) if again or kind == "hls" else ("libx264", videos.OTHER_SIZE))
                    )
                if kind == "hls":
                    server = Playlist(fault, h264, changed, is_repaired=is_repaired)
                else:
                    server = LiveStream(kind, fault, h264, changed, is_repaired=is_repaired)
            case "mjpeg":
                if still:
                    changed = videos.jpegs(still=True)
                elif fault is Fault.CHANGE:
                    changed = videos.jpegs(videos.OTHER_SIZE)
                server = LiveStream(kind, fault, videos.jpegs(), changed, is_repaired=is_repaired)
            case "snapshot":
                if still:
                    changed = videos.snapshots(still=True)
                elif fault is Fault.CHANGE:
                    changed = videos.snapshots(videos.OTHER_SIZE)
                server = SnapshotCamera(fault, videos.snapshots(), changed, is_repaired=is_repaired)
            case "recording":
                server = RecordingServer(fault, self.recording, is_repaired=is_repaired)
            case "file":
                source = "truncated.mp4" if fault is Fault.TRUNCATED else "changed.ts"
                return FaultCase(kind, fault, source, None, MARKER)
        return FaultCase(kind, fault, "", server, MARKER if fault is Fault.CHANGE else MOCK)

    def make_cases(self, *, is_repaired: bool = False) -> list[FaultCase]:
        """Return a case for each fault over each kind of source."""
        return [
            self.make_case(kind, fault, again=kind in kinds[:place], is_repaired=is_repaired)
            for fault, kinds in KINDS.items()
            for place, kind in enumerate(kinds)
        ]


class Neighbours(Struct):
    """Sources that work beside those with faults: two cameras, a test pattern and a recording, of 10 fps."""

    service: ServiceProcess
    verifier: Verifier
    cameras: dict[UUID, LiveStream]
    pattern: UUID
    recording: UUID

    async def count(self) -> dict[UUID, tuple[float, int]]:
        """How many frames were sent to each by now, and how many are stored of those."""
        counts = {
            scenario_id: (float(server.sent), await self.verifier.stored(scenario_id))
            for scenario_id, server in self.cameras.items()
        }
        for scenario_id in (self.pattern, self.recording):
            counts[scenario_id] = (
                time.monotonic() * videos.RATE,
                await self.verifier.stored(scenario_id, -1),
            )
        return counts

    def loss(self, before: dict[UUID, tuple[float, int]], after: dict[UUID, tuple[float, int]]) -> float:
        """The greatest share of what was sent that was not stored, of all neighbours."""
        return max(
            1 - (after[each][1] - before[each][1]) / (after[each][0] - before[each][0]) for each in before
        )


def make_media(folder: Path) -> Cameras:
    """The clips that sources are made of, below `folder`."""
    media, moving, still = (folder / name for name in ("media", "moving", "still"))
    for each in (media, moving, still):
        each.mkdir(exist_ok=True)
    constant = {"qp": "28", "crf": "-1", "preset": "ultrafast"}
    for place, standing in ((moving, False), (still, True)):
        pictures = videos.pictures(videos.SIZE, still=standing)
        encode(place / "clip.mp4", pictures, fps=videos.RATE, gop=videos.GOP, bframes=0, options=constant)
    marker_clip(folder / "clip.mkv", frames=FRAMES, size=videos.OTHER_SIZE, codec="mjpeg")
    marker_clip(
        folder / "whole.mp4", frames=FRAMES, size=videos.SIZE, muxer_options={"movflags": "faststart"}
    )
    truncate(folder / "whole.mp4", 0.5, media / "truncated.mp4")
    halves = [
        marker_clip(folder / f"{number}.ts", frames=FRAMES // 2, size=each).read_bytes()
        for number, each in enumerate((videos.SIZE, videos.OTHER_SIZE))
    ]
    (media / "changed.ts").write_bytes(b"".join(halves))
    pixels = np.add.outer(np.arange(96), np.arange(128))
    scene = [np.asarray(pixels + 5 * number, np.uint8) for number in range(50)]
    length = size(200, 1800) * videos.RATE
    encode(folder / "long.mkv", islice(cycle(scene), length), fps=videos.RATE, codec="mjpeg")
    return Cameras(
        RtspCamera(moving / "clip.mp4"),
        RtspCamera(still / "clip.mp4"),
        (folder / "clip.mkv").read_bytes(),
        (folder / "long.mkv").read_bytes(),
        length / videos.RATE,
        media,
    )


class Trial:
    """One service, its verifier, and the group in which sources are served."""

    def __init__(
        self, service: ServiceProcess, verifier: Verifier, cameras: Cameras, group: TaskGroup
    ) -> None:
        self.service = service
        self.verifier = verifier
        self.cameras = cameras
        self.group = group

    async def begin(self, case: FaultCase) -> None:
        """Serve the source, and have it read."""
        if case.server is not None:
            await self.group.start(case.server.serve)
        source = case.server.url if case.server else case.source
        case.scenario_id = await self.create(source, case.detector)
        case.began = time.time()

    async def create(self, source: str, detector: dict[str, str], **options: object) -> UUID:
        """Create a scenario that looks at every frame."""
        scenario_id = uuid4()
        body = {"id": str(scenario_id), "source": source, "detector": detector, "sampling": ALL, **options}
        await self._ask(partial(self.service.http.post, "/scenarios", json=body))
        return scenario_id

    async def run_case(self, case: FaultCase) -> None:
        """Read a source until its fault is noticed; then repair it, and wait until it has recovered."""
        await self.begin(case)
        with move_on_after(60):
            await until(lambda: case.onset, timeout=60)
        with move_on_after(3 * IN_TIME):
            await until(partial(self.verifier.look, case), timeout=60, poll=0.1)
        if case.server is not None:
            case.server.repair()
        with move_on_after(45):
            await until(partial(self._has_recovered, case, time.time()), timeout=60, poll=0.2)
            case.has_recovered = True

    async def _has_recovered(self, case: FaultCase, repaired_at: float) -> bool:
        """Return whether it is read again, or, if there was nothing to repair, ended as it should."""
        assert case.scenario_id is not None
        if case.kind == "recording":
            return await self.verifier.completed(case, FRAMES)
        if case.server is None:
            return await self.verifier.inactive(case.scenario_id)
        return (
            await self.verifier.state(case.scenario_id) == "open"
            and await self.verifier.stored(case.scenario_id, repaired_at) > 0
        )

    async def end(self, scenario_id: UUID) -> None:
        """Stop and delete a scenario."""
        path = f"/scenarios/{scenario_id}"
        await self._ask(partial(self.service.http.post, f"{path}/stop"))
        await until(partial(self.verifier.inactive, scenario_id), timeout=60, poll=0.2)
        await self._ask(partial(self.service.http.delete, path))

    async def _ask(self, request: Callable[[], Awaitable[Response]]) -> None:
        """Send a request again while the service has no time for it, as a client does."""
        await until(partial(self._taken, request), timeout=60, poll=0.5)

    async def _taken(self, request: Callable[[], Awaitable[Response]]) -> bool:
        with suppress(TransportError):
            return (await request()).status_code < 500
        return False

    async def end_all(self, cases: Sequence[FaultCase]) -> None:
        """Stop and delete their scenarios."""
        async with create_task_group() as group:
            for case in cases:
                if case.scenario_id is not None:
                    group.start_soon(self.end, case.scenario_id)

    async def neighbours(self) -> Neighbours:
        """Begin to read sources that work."""
        servers = [LiveStream("mjpeg", Fault.STALL, videos.jpegs(), None, is_repaired=True) for _ in range(2)]
        recorded = RecordingServer(
            Fault.STALL,
            self.cameras.long,
            pace=len(self.cameras.long) / self.cameras.seconds,
            is_repaired=True,
        )
        for server in (*servers, recorded):
            await self.group.start(server.serve)
        cameras = {await self.create(server.url, MOCK): server for server in servers}
        pattern = await self.create("test:testsrc2?live=true&size=320x240&rate=10", MOCK)
        found = Neighbours(
            self.service, self.verifier, cameras, pattern, await self.create(recorded.url, MOCK)
        )
        for scenario_id in (*cameras, pattern, found.recording):
            await until(partial(self.verifier.stored, scenario_id, -1), timeout=30, poll=0.1)
        return found

    def threads(self) -> int:
        """How many threads read and detect: those that give way to the others."""
        process = Path(f"/proc/{self.service.process.pid}")
        others = _niceness(process / "stat")
        assert others < 19, "threads that give way cannot be told from others: start the tests with less nice"
        return sum(_niceness(stat) > others for stat in process.glob("task/*/stat"))

    async def reclaimed(self, threads: int) -> int:
        """How many threads more than `threads` are left, once that is settled."""
        with suppress(AssertionError):
            await until(lambda: self.threads() <= threads, timeout=2 * IN_TIME, poll=0.1)
        return max(0, self.threads() - threads)

    def memory(self) -> float:
        """What is resident, in MiB."""
        return float(psutil.Process(self.service.process.pid).memory_info().rss / 2**20)


def _niceness(stat: Path) -> int:
    """Return how far a thread gives way to others, from its file below /proc; 0 if it has just ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(stat.read_text().rpartition(")")[2].split()[16])
    return 0


@asynccontextmanager
async def trial(folder: Path, databases: tuple[str, str], app: str = "app.main:app") -> AsyncIterator[Trial]:
    """A service of this app with room for every source, and its verifier."""
    cameras = make_media(folder)
    settings = {
        "scenarios_dsn": databases[0],
        "predictions_dsn": databases[1],
        "media_root": cameras.media,
        "runner_slots": 60,
        "rate_limit": 10_000,
    }
    async with (
        running(folder, app=app, **settings) as service,
        asyncpg.create_pool(databases[0], min_size=1, max_size=4) as scenarios,
        asyncpg.create_pool(databases[1], min_size=1, max_size=4) as predictions,
        create_task_group() as group,
    ):
        with cameras.moving, cameras.still:
            yield Trial(service, Verifier(scenarios, predictions), cameras, group)
        group.cancel_scope.cancel()
