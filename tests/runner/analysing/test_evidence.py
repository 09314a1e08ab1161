"""Pictures of objects and alerts of live sources: what they show, when they are taken, and what they cost."""

from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path

import cv2
import numpy as np
import pytest
from anyio import create_task_group
from asyncpg import Record
from msgspec.structs import replace

from app.analysis.analysis import Step
from app.detectors.base import Detector
from app.detectors.image_picture import ImagePicture
from app.detectors.marker import MarkerDetector
from app.domain.analysis import Alert, Presence, Tracking
from app.domain.detector_config import Marker
from app.domain.event import Event
from app.domain.picture import Image, Picture
from app.domain.prediction import Detection
from app.domain.spec import ScenarioSpec
from app.runner import run as run_module
from app.runner.analysing import evidence
from app.runner.analysing.evidence import MAX_IN_HAND, MAX_SIDE, EvidenceTaker, to_jpeg
from app.runner.frames.tasks import FrameTask
from app.runner.metrics import MISSED_PICTURES
from tests.runner.runs import World, executing, spec
from tests.support import clips
from tests.support.http_cameras import MULTIPART, Reply, headed, http_camera, jpeg
from tests.support.pictures import ArrayPicture, plain
from tests.support.rtsp_server import RtspServer
from tests.support.waiting import until

OBJECT = Event(
    1, "object", "open", "person", 7, None, None, 3, 0.1, 9, 0.3, 5, 0.2, (0.0, 0.0, 9.0, 9.0), 0.5
)
ALERT = replace(OBJECT, event_id=2, kind="alert", state="ended", name="visitor")
PICTURE = ArrayPicture(plain(64, 36))


class MarkedPerson(Detector):
    """Finds a person who comes nearer, and notes which marker each frame shows."""

    def __init__(self) -> None:
        self.shown: dict[int, str] = {}
        self._markers = MarkerDetector(Marker())

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:
        found = self._markers.detect(picture, frame)
        self.shown[frame] = found[0].label if found else ""
        side = min(20.0 + 0.5 * len(self.shown), 180.0)
        return (Detection("person", 0.9, (5.0, 5.0, 5.0 + side, 5.0 + side)),)


def watched(source: str, *, tracking: bool = True) -> ScenarioSpec:
    """People with tracking, or labels without; an alert fires after a tenth of a second."""
    return replace(
        spec(source),
        tracking=Tracking(max_gap_seconds=10.0) if tracking else None,
        presence=Presence(max_gap_seconds=10.0),
        alerts=(Alert("visitor", ("person",), min_seconds=0.1),),
    )


async def pictures(world: World) -> list[Record]:
    async with world.database.connection() as connection:
        return await connection.fetch(
            "SELECT p.*, s.event_id, s.box, s.score, e.kind, e.start_frame, e.end_frame FROM event_pictures s"
            "  JOIN evidence p USING (scenario_id, frame)"
            "  JOIN current_events e USING (scenario_id, event_id)"
            " WHERE scenario_id = $1 ORDER BY event_id",
            world.scenario_id,
        )


def decoded(picture: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)


def marker_in(picture: bytes) -> str:
    found = MarkerDetector(Marker()).detect(ImagePicture(decoded(picture)), 0)
    return found[0].label if found else ""


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> MarkedPerson:
    detector = MarkedPerson()
    monkeypatch.setattr(run_module, "make_detector", lambda *_: detector)
    return detector


async def check_pictures(world: World, person: MarkedPerson) -> None:
    """Compare each picture with what the detector saw in the frame that it names."""
    for row in await pictures(world):
        assert marker_in(row["picture"]) == person.shown[row["frame"]] != ""
        assert row["start_frame"] <= row["frame"] <= row["end_frame"]  # an alert's are those of one frame
        assert row["bytes"] == len(row["picture"])
        assert (row["width"], row["height"]) == (256, 192)
        x1, y1, x2, y2 = row["box"]
        assert (x1, y1) == (5.0, 5.0)
        assert row["score"] == pytest.approx(0.9 * (x2 - x1) * (y2 - y1), rel=1e-3)


async def test_an_rtsp_camera_keeps_a_picture_of_each_object_and_alert_and_a_better_one_later(
    world: World, person: MarkedPerson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "REPLACE_EVERY", 0.4)
    taker = EvidenceTaker()
    monkeypatch.setattr(run_module, "EvidenceTaker", lambda: taker)

    async def are_there() -> bool:
        rows = await pictures(world)
        seen.update({row["frame"] for row in rows if row["kind"] == "object"})
        return len(seen) > 1 and len(rows) == 2

    seen = set[int]()
    clip = clips.marker_clip(tmp_path / "clip.mp4", frames=60, size=(256, 192), bframes=0)
    with RtspServer(clip) as server:
        run = world.run(watched(server.url()))
        async with executing(run):
            await until(are_there, timeout=30)
            run.stop("stop")
    rows = {row["kind"]: row for row in await pictures(world)}
    assert set(rows) == {"object", "alert"}
    first = min(seen)
    assert rows["object"]["frame"] > first
    assert taker._in_hand == {}  # what is stored leaves room for others
    await check_pictures(world, person)


async def test_an_alert_about_a_label_of_a_camera_of_jpegs_has_the_picture_in_which_it_fired(
    threaded: World, person: MarkedPerson
) -> None:
    def answer(_request: BaseHTTPRequestHandler) -> Reply:
        parts = (headed()(jpeg(number % 1000)) for number in count())
        return Reply({"Content-Type": MULTIPART}, parts, interval=0.05)

    async def is_there() -> bool:
        return bool(await pictures(threaded))

    with http_camera(answer) as url:
        run = threaded.run(watched(f"{url}/video", tracking=False))
        async with executing(run):
            await until(is_there, timeout=30)
            run.stop("stop")
    (row,) = await pictures(threaded)
    assert row["kind"] == "alert"
    await check_pictures(threaded, person)


async def killed_after(world: World, source: str, attempt: int, frames: int) -> None:
    """Execute an attempt that is gone without a word once so many frames are stored."""

    async def are_stored() -> bool:
        return len(await world.stored()) >= frames

    async with create_task_group() as group:
        group.start_soon(world.run(watched(source), attempt=attempt).execute)
        await until(are_stored, timeout=30)
        group.cancel_scope.cancel()


async def test_events_and_pictures_agree_after_kills_and_no_picture_is_replaced_by_a_worse_one(
    threaded: World, person: MarkedPerson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "REPLACE_EVERY", 0.1)
    monkeypatch.setattr(run_module, "PACE", 0.02)
    before: dict[int, float] = {}
    clip = clips.marker_clip(tmp_path / "clip.mp4", frames=60, size=(256, 192), bframes=0)
    with RtspServer(clip) as server:
        for attempt, frames in enumerate((1, 12, 40), 1):
            await killed_after(threaded, server.url(), attempt, frames)
            scores = {row["event_id"]: row["score"] for row in await pictures(threaded)}
            assert all(scores[event_id] >= score for event_id, score in before.items())
            before = scores
    stored = {row["frame"] for row in await threaded.stored()}
    rows = await pictures(threaded)
    assert {row["kind"] for row in rows} == {"object", "alert"}
    assert {row["frame"] for row in rows} <= stored
    await check_pictures(threaded, person)


async def test_of_a_recording_nothing_is_encoded(
    threaded: World, person: MarkedPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "to_jpeg", lambda _picture: pytest.fail("encoded"))
    await threaded.run(watched("short.mp4")).execute()
    async with threaded.database.connection() as connection:
        kinds = await connection.fetch("SELECT DISTINCT kind FROM events")
    assert {row["kind"] for row in kinds} == {"object", "presence", "alert"}
    assert await pictures(threaded) == []


async def test_a_runner_that_is_told_to_keep_no_pictures_encodes_none(
    threaded: World, person: MarkedPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def are_told() -> bool:
        async with threaded.database.connection() as connection:
            return bool(await connection.fetchval("SELECT count(*) FROM events WHERE kind = 'alert'"))

    monkeypatch.setattr(evidence, "to_jpeg", lambda _picture: pytest.fail("encoded"))
    threaded.keeps_evidence = False
    run = threaded.run(watched("test:testsrc2?size=64x36&rate=50&live=true"))
    async with executing(run):
        await until(are_told, timeout=30)
        run.stop("stop")
    assert await pictures(threaded) == []


def found(side: float = 10.0, confidence: float = 0.5, track: int | None = 7) -> Detection:
    return Detection("person", confidence, (0.0, 0.0, side, side), track)


def step(*events: Event, side: float = 10.0, confidence: float = 0.5) -> Step:
    return Step((found(side, confidence),), events)


def task(
    frame: int, at: float = 0.0, picture: Picture | None = PICTURE, jpeg: bytes | None = None
) -> FrameTask:
    return FrameTask(frame, at, frame, picture, size=(64, 36), jpeg=jpeg)


def test_a_picture_is_replaced_after_five_seconds_by_a_clearly_better_one() -> None:
    taker = EvidenceTaker()

    def frames_of(at: float, side: float) -> list[int]:
        taken = taker.take(step(OBJECT, side=side), task(round(10 * at), at))
        return [each.frame for each in taken]

    assert frames_of(100.0, 10) == [1000]
    assert frames_of(104.9, 100) == []
    assert frames_of(105.0, 12) == []
    assert frames_of(105.1, 13) == [1051]
    assert frames_of(110.0, 100) == []
    assert frames_of(110.1, 15) == []
    assert frames_of(110.2, 16) == [1102]


def test_an_object_that_is_not_seen_in_a_frame_and_other_kinds_have_no_picture() -> None:
    taker = EvidenceTaker()
    others = [replace(OBJECT, kind=kind) for kind in ("zone", "line", "presence")]
    assert taker.take(step(*others, replace(OBJECT, track_id=8)), task(0, 0.0)) == ()
    assert taker.take(step(replace(OBJECT, state="ended")), task(1, 0.1)) == ()


def test_the_events_of_a_frame_share_a_picture() -> None:
    one, two = EvidenceTaker().take(step(OBJECT, ALERT, side=20.0), task(4, 0.5))
    assert (one.event_id, two.event_id) == (1, 2)
    assert one.jpeg is two.jpeg
    assert (one.frame, one.time, one.box, one.score) == (4, 0.5, (0.0, 0.0, 20.0, 20.0), 200.0)
    assert one.size == (64, 36)


def test_a_score_that_is_no_number_gives_no_picture() -> None:
    broken = Step((found(float("inf"), 0.0),), (OBJECT,))
    assert EvidenceTaker().take(broken, task(0, 0.0)) == ()


def test_at_most_8_mib_wait_to_be_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "to_jpeg", lambda _picture: bytes(1_500_000))
    taker, missed = EvidenceTaker(), MISSED_PICTURES._value.get()
    taken = [taker.take(step(ALERT), task(frame, 0.0)) for frame in range(10)]
    in_hand = sum(len(each.jpeg) for pictures in taken for each in pictures)
    assert MAX_IN_HAND - 3_000_000 < in_hand <= MAX_IN_HAND
    assert MISSED_PICTURES._value.get() - missed == sum(not pictures for pictures in taken)
    assert taker.take(step(OBJECT), task(10, 1.0)) == ()
    taker.forget_before(4)
    assert len(taker.take(step(OBJECT), task(11, 1.1))) == 1


def test_a_frame_that_was_encoded_early_for_nothing_is_not_in_hand() -> None:
    taker = EvidenceTaker()
    early = taker.encode(3, PICTURE)
    assert early is not None
    assert taker.take(step(), task(3, picture=None, jpeg=early)) == ()
    assert taker._in_hand == {}
    early = taker.encode(4, PICTURE)
    (taken,) = taker.take(step(OBJECT), task(4, picture=None, jpeg=early))
    assert taken.jpeg is early
    assert taker._in_hand == {4: len(early or b"")}


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((640, 360), (640, 360)),
        ((1, 1), (1, 1)),
        ((8192, 2), (1280, 1)),
        ((3, 20_000), (1, 1280)),
    ],
)
def test_a_picture_has_at_most_1280_pixels_a_side(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert max(expected) <= MAX_SIDE
    height, width = decoded(to_jpeg(ArrayPicture(plain(*size)))).shape[:2]
    assert (width, height) == expected


class BrokenPicture(ArrayPicture):
    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        raise ValueError(f"no pixels for {size}")


def test_a_picture_that_cannot_be_encoded_costs_nothing_but_itself() -> None:
    taker = EvidenceTaker()
    assert taker.take(step(OBJECT), task(0, picture=BrokenPicture(plain()))) == ()
    assert len(taker.take(step(OBJECT), task(1, 0.1))) == 1
