"""Nine faults of sources: each is noticed in time, takes nothing with it, and costs its neighbours nothing.

Once each over every kind of source where it makes sense, five sources a fault; 100 a fault at full length.
All of them are read by one service at once, beside neighbours that work. What is found out is read from the
databases' rows and the system's own figures of the process; what the sources sent, from the sources.
"""

import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from uuid import UUID, uuid4

import asyncpg
import numpy as np
import psutil
import pytest
from anyio import create_task_group, move_on_after, sleep
from anyio.abc import TaskGroup
from httpx import Response, TransportError
from msgspec import Struct, field

from tests.cameras import RtspCamera
from tests.clips import encode, marker_clip, truncate
from tests.service.process import ServiceProcess, running
from tests.torture import faulty_videos as videos
from tests.torture.battery import LONG, Battery, size
from tests.torture.faulty_sources import (
    CameraProxy,
    Fault,
    FaultySource,
    Kind,
    LiveStream,
    Playlist,
    RecordingServer,
    Video,
)
from tests.waiting import until

ROUNDS = size(1, 20)
IN_TIME = 10.0
"""Seconds within which a fault must be noticed."""

# Where the machine is busy with other tests, these are no figures of the service.
LATEST, MOST_LOSS = (IN_TIME, 0.05) if LONG else (2 * IN_TIME, 0.25)
FRAMES = 300
"""Of a recording."""

MOCK, MARKER = {"type": "mock"}, {"type": "marker"}
ALL = {"mode": "all"}

CONNECTED: tuple[Kind, ...] = ("rtsp", "mpegts", "mjpeg", "hls", "recording")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")

KINDS: dict[Fault, tuple[Kind, ...]] = {
    Fault.SILENT: CONNECTED,
    Fault.STALL: CONNECTED,
    Fault.RESET: CONNECTED,
    Fault.HALF_OPEN: CONNECTED,
    Fault.DRIP: CONNECTED,
    Fault.ENDLESS: CONNECTED,
    Fault.TRUNCATED: ("rtsp", "mpegts", "mjpeg", "recording", "file"),
    Fault.CHANGE: ("mpegts", "mpegts", "mjpeg", "hls", "file"),
    Fault.FROZEN: ("rtsp", "mpegts", "mjpeg", "mjpeg", "hls"),
}


class Trouble(Struct):
    """One source with a fault, the scenario that reads it, and what came of both.

    Moments are Unix times. `noticed` is when it was shown, or, for pictures that changed, analysed on.
    """

    kind: Kind
    fault: Fault
    source: str
    server: FaultySource | None
    detector: dict[str, str]
    scenario_id: UUID | None = None
    began: float = field(default_factory=time.time)
    noticed: float | None = None
    said: str = ""
    well_again: bool = False

    @property
    def onset(self) -> float | None:
        return self.server.onset if self.server else self.began

    def __str__(self) -> str:
        late = None if self.noticed is None or self.onset is None else round(self.noticed - self.onset, 1)
        return f"{self.fault} ({self.kind}): {late} s, {self.said!r}, well again: {self.well_again}"


class Verifier:
    """Reads what became of the troubles from the rows of both databases."""

    def __init__(
        self, scenarios: "asyncpg.Pool[asyncpg.Record]", predictions: "asyncpg.Pool[asyncpg.Record]"
    ):
        self._scenarios = scenarios
        self._predictions = predictions

    async def look(self, trouble: Trouble) -> bool:
        """Whether it was noticed; when, and what was said, is then noted in it."""
        onset, scenario_id = trouble.onset, trouble.scenario_id
        if onset is None or scenario_id is None:
            return False
        if trouble.fault is Fault.CHANGE:
            return await self._goes_on(trouble, onset)
        ended = await self._scenarios.fetchrow(
            "SELECT extract(epoch FROM at)::float8 AS at, reason FROM scenario_events"
            " WHERE scenario_id = $1 AND at > to_timestamp($2) AND from_state IS NOT NULL"
            "   AND to_state IN ('init_startup', 'inactive') ORDER BY id LIMIT 1",
            scenario_id,
            onset,
        )
        shown = await self._predictions.fetchrow(
            "SELECT extract(epoch FROM updated_at)::float8 AS at, source_state AS reason FROM checkpoints"
            " WHERE scenario_id = $1 AND updated_at > to_timestamp($2) AND source_state = $3",
            scenario_id,
            onset,
            "frozen" if trouble.fault is Fault.FROZEN else "reconnecting",
        )
        found = ended or shown
        if found is not None:
            trouble.noticed, trouble.said = found["at"], found["reason"]
        return found is not None

    async def _goes_on(self, trouble: Trouble, onset: float) -> bool:
        if trouble.server is None:
            return await self.completed(trouble, FRAMES)
        after: float | None = await self._predictions.fetchval(
            "SELECT min(time) FROM predictions"
            " WHERE scenario_id = $1 AND time > $2 AND cardinality(labels) > 0 AND error IS NULL",
            trouble.scenario_id,
            onset + 0.5,
        )
        if after is not None:
            trouble.noticed, trouble.said = after, "analysed on"
        return after is not None

    async def completed(self, trouble: Trouble, frames: int) -> bool:
        """Whether it was completed, and every frame of the recording is there once."""
        at: float | None = await self._scenarios.fetchval(
            "SELECT extract(epoch FROM updated_at)::float8 FROM scenarios"
            " WHERE id = $1 AND outcome = 'completed'",
            trouble.scenario_id,
        )
        if at is None:
            return False
        trouble.noticed = trouble.noticed or at
        stored = await self._predictions.fetch(
            "SELECT frame FROM predictions WHERE scenario_id = $1 AND error IS NULL ORDER BY frame",
            trouble.scenario_id,
        )
        return [row["frame"] for row in stored] == list(range(frames))

    async def stored(self, scenario_id: UUID, since: float = 0.0) -> int:
        """How many frames are stored, of a live source: that came since a moment."""
        count: int = await self._predictions.fetchval(
            "SELECT count(*) FROM predictions WHERE scenario_id = $1 AND time > $2", scenario_id, since
        )
        return count

    async def state(self, scenario_id: UUID) -> str:
        """Of the source."""
        state: str = await self._predictions.fetchval(
            "SELECT source_state FROM checkpoints WHERE scenario_id = $1", scenario_id
        )
        return state

    async def inactive(self, scenario_id: UUID) -> bool:
        """Whether nothing runs."""
        return bool(
            await self._scenarios.fetchval(
                "SELECT state = 'inactive' FROM scenarios WHERE id = $1", scenario_id
            )
        )


class Cameras(Struct):
    """What sources are made of. `long` is a recording of so many `seconds`."""

    moving: RtspCamera
    still: RtspCamera
    recording: bytes
    long: bytes
    seconds: float
    media: Path

    def trouble(self, kind: Kind, fault: Fault, *, again: bool = False, healed: bool = False) -> Trouble:
        """A source of this kind with this fault; `again`: with the other change of a video."""
        server: FaultySource | None = None
        h264 = videos.transport_stream()
        still = fault is Fault.FROZEN
        changed: Video | None = None
        match kind:
            case "rtsp":

                def camera(healed: bool) -> tuple[str, int]:
                    return "127.0.0.1", (self.still if still and not healed else self.moving).port

                server = CameraProxy(fault, "/clip.mp4/play_count_0", camera, healed=healed)
            case "mpegts" | "hls":
                if still:
                    changed = videos.transport_stream(still=True)
                elif fault is Fault.CHANGE:
                    changed = videos.transport_stream(
                        *(("libx265",) if again or kind == "hls" else ("libx264", videos.OTHER_SIZE))
                    )
                if kind == "hls":
                    server = Playlist(fault, h264, changed, healed=healed)
                else:
                    server = LiveStream(kind, fault, h264, changed, healed=healed)
            case "mjpeg":
                if still:
                    changed = videos.jpegs(still=True)
                elif fault is Fault.CHANGE:
                    changed = videos.jpegs(videos.OTHER_SIZE)
                server = LiveStream(kind, fault, videos.jpegs(), changed, healed=healed)
            case "recording":
                server = RecordingServer(fault, self.recording, healed=healed)
            case "file":
                source = "truncated.mp4" if fault is Fault.TRUNCATED else "changed.ts"
                return Trouble(kind, fault, source, None, MARKER)
        return Trouble(kind, fault, "", server, MARKER if fault is Fault.CHANGE else MOCK)

    def troubles(self, *, healed: bool = False) -> list[Trouble]:
        """Each fault over each kind of source."""
        return [
            self.trouble(kind, fault, again=kind in kinds[:place], healed=healed)
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

    async def begin(self, trouble: Trouble) -> None:
        """Serve the source, and have it read."""
        if trouble.server is not None:
            await self.group.start(trouble.server.serve)
        source = trouble.server.url if trouble.server else trouble.source
        trouble.scenario_id = await self.create(source, trouble.detector)
        trouble.began = time.time()

    async def create(self, source: str, detector: dict[str, str], **options: object) -> UUID:
        """Create a scenario that looks at every frame."""
        scenario_id = uuid4()
        body = {"id": str(scenario_id), "source": source, "detector": detector, "sampling": ALL, **options}
        await self._ask(partial(self.service.http.post, "/scenarios", json=body))
        return scenario_id

    async def suffer(self, trouble: Trouble) -> None:
        """From the first frame to the fault, until it is noticed; then heal the source, until it is well."""
        await self.begin(trouble)
        with move_on_after(60):
            await until(lambda: trouble.onset, timeout=60)
        with move_on_after(3 * IN_TIME):
            await until(partial(self.verifier.look, trouble), timeout=60, poll=0.1)
        if trouble.server is not None:
            trouble.server.heal()
        with move_on_after(45):
            await until(partial(self._is_well, trouble, time.time()), timeout=60, poll=0.2)
            trouble.well_again = True

    async def _is_well(self, trouble: Trouble, healed: float) -> bool:
        """Whether it is read again; where there was nothing to be healed, it ended as it should."""
        assert trouble.scenario_id is not None
        if trouble.kind == "recording":
            return await self.verifier.completed(trouble, FRAMES)
        if trouble.server is None:
            return await self.verifier.inactive(trouble.scenario_id)
        return (
            await self.verifier.state(trouble.scenario_id) == "open"
            and await self.verifier.stored(trouble.scenario_id, healed) > 0
        )

    async def end(self, scenario_id: UUID) -> None:
        """Stop and delete a scenario."""
        path = f"/scenarios/{scenario_id}"
        await self._ask(partial(self.service.http.post, f"{path}/stop"))
        await until(partial(self.verifier.inactive, scenario_id), timeout=60, poll=0.2)
        await self._ask(partial(self.service.http.delete, path))

    async def _ask(self, request: Callable[[], Awaitable[Response]]) -> None:
        """As a client does where the service had no time."""
        await until(partial(self._taken, request), timeout=60, poll=0.5)

    async def _taken(self, request: Callable[[], Awaitable[Response]]) -> bool:
        with suppress(TransportError):
            return (await request()).status_code < 500
        return False

    async def end_all(self, troubles: Sequence[Trouble]) -> None:
        """Stop and delete their scenarios."""
        async with create_task_group() as group:
            for trouble in troubles:
                if trouble.scenario_id is not None:
                    group.start_soon(self.end, trouble.scenario_id)

    async def neighbours(self) -> Neighbours:
        """Begin to read sources that work."""
        servers = [LiveStream("mjpeg", Fault.STALL, videos.jpegs(), None, healed=True) for _ in range(2)]
        recorded = RecordingServer(
            Fault.STALL, self.cameras.long, pace=len(self.cameras.long) / self.cameras.seconds, healed=True
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
        stats = Path(f"/proc/{self.service.process.pid}/task").glob("*/stat")
        return sum(int(stat.read_text().rpartition(")")[2].split()[16]) > 0 for stat in stats)

    async def reclaimed(self, threads: int) -> int:
        """How many threads more than `threads` are left, once that is settled."""
        with suppress(AssertionError):
            await until(lambda: self.threads() <= threads, timeout=IN_TIME, poll=0.1)
        return max(0, self.threads() - threads)

    def memory(self) -> float:
        """What is resident, in MiB."""
        return float(psutil.Process(self.service.process.pid).memory_info().rss / 2**20)


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


@pytest.mark.timeout(size(300, 1800))
async def test_faults_are_noticed_and_cost_neighbours_nothing(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    troubles: list[Trouble] = []
    async with trial(tmp_path, (scenarios_dsn, predictions_dsn)) as here:
        neighbours = await here.neighbours()
        threads = here.threads()
        # Before anything goes wrong, all sources work: that is what threads and memory come back to.
        working = [each for each in here.cameras.troubles(healed=True) if each.server is not None]
        async with create_task_group() as group:
            for trouble in working:
                group.start_soon(here.begin, trouble)
        await sleep(size(5, 15))
        await here.end_all(working)
        await here.reclaimed(threads)
        resident = here.memory()
        left: list[int] = []
        grown: list[float] = []
        before = await neighbours.count()
        for _ in range(ROUNDS):
            batch = here.cameras.troubles()
            troubles += batch
            async with create_task_group() as group:
                for trouble in batch:
                    group.start_soon(here.suffer, trouble)
            await here.end_all(batch)
            left.append(await here.reclaimed(threads))
            grown.append(here.memory() - resident)
        loss = neighbours.loss(before, await neighbours.count())
    delays: dict[Fault, list[float]] = defaultdict(list)
    for trouble in troubles:
        if trouble.noticed is not None and trouble.onset is not None:
            delays[trouble.fault].append(trouble.noticed - trouble.onset)
    unnoticed = [str(each) for each in troubles if each.noticed is None]
    late = [
        str(each) for each in troubles if each.noticed and each.onset and each.noticed - each.onset > LATEST
    ]
    ill = [str(each) for each in troubles if not each.well_again]
    for fault, found in delays.items():
        print(f"{fault}: median {median(found):.1f} s, at most {max(found):.1f} s")
    print(f"threads left {left}, memory grown {[round(each) for each in grown]} MiB, loss {loss:.1%}")
    battery.passed(
        7,
        "source faults",
        f"{len(Fault)} faults × {len(troubles) // len(Fault)}, {len(working)} sources at once",
        f"{len(unnoticed)} unnoticed, {len(late)} late; at most {max(map(max, delays.values())):.1f} s;"
        f" {max(left)} threads left, {grown[-1]:+.0f} MiB; neighbours {max(loss, 0):.1%} of their frames",
    )
    assert unnoticed == []
    assert late == []
    assert ill == []
    assert max(left) == 0
    assert max(grown) < 100
    assert loss <= MOST_LOSS


@pytest.mark.timeout(size(180, 180))
async def test_without_deadlines_faults_go_unnoticed_and_threads_are_left(
    tmp_path: Path, scenarios_dsn: str, predictions_dsn: str, battery: Battery
) -> None:
    app = "tests.torture.unguarded_deadlines:app"
    async with trial(tmp_path, (scenarios_dsn, predictions_dsn), app) as here:
        threads = here.threads()
        troubles = [here.cameras.trouble(kind, Fault.STALL) for kind in CONNECTED]
        async with create_task_group() as group:
            for trouble in troubles:
                group.start_soon(here.begin, trouble)
        for trouble in troubles:
            await until(lambda: trouble.onset, timeout=60, poll=0.1)  # noqa: B023 - awaited at once
        with move_on_after(IN_TIME):
            for trouble in troubles:
                await until(partial(here.verifier.look, trouble), timeout=60, poll=0.1)
        unnoticed = sum(trouble.noticed is None for trouble in troubles)
        await here.end_all(troubles)
        left = await here.reclaimed(threads)
        here.service.kill()  # its threads would not let it end
    battery.unguarded(
        7,
        "read deadlines",
        f"{Fault.STALL} over {len(troubles)} kinds of source",
        f"{unnoticed} unnoticed after {IN_TIME:.0f} s, {left} threads left",
    )
    assert unnoticed >= 4
    assert left >= 4
