"""Objects are followed, whatever the frame rate, and ids are given once."""

from random import Random

import msgspec
import pytest

from app.analysis.tracking.state import TrackerState
from app.analysis.tracking.tracker import MAX_TRACKS, Followed, Tracker
from app.domain.analysis import Tracking
from app.domain.prediction import Detection
from tests.support.scenes import WORLDS, Scene, SceneFrame, make_scene

SIZE = (1280, 720)


def at(
    x: float, y: float = 300, label: str = "person", confidence: float = 0.9, height: float = 100
) -> Detection:
    """A detection whose middle is at x, y, with the shape of a person."""
    return Detection(label, confidence, (x - height / 5, y - height / 2, x + height / 5, y + height / 2))


class Video:
    """Feeds frames at a steady rate."""

    def __init__(self, rate: float = 2.0, tracking: Tracking | None = None, first_id: int = 1) -> None:
        self.tracker = Tracker(tracking or Tracking(), first_id)
        self.time = 0.0
        self._step = 1 / rate
        self._frame = 0

    def show(self, *detections: Detection, after: float | None = None) -> Followed:
        """Take the next frame, `after` seconds after the last one."""
        self.time += self._step if after is None else after
        self._frame += 1
        return self.tracker.update(self._frame, self.time, SIZE, detections)


def test_an_object_gets_its_id_in_its_third_frame() -> None:
    video = Video(rate=10)
    ids = [video.show(at(100)).track_ids for _ in range(4)]
    assert ids == [(None,), (None,), (1,), (1,)]


def test_two_frames_are_enough_if_they_are_far_apart() -> None:
    for rate in (5, 2, 0.1):
        video = Video(rate=rate)
        ids = [video.show(at(100)).track_ids for _ in range(3)]
        assert ids == [(None,), (1,), (1,)]


def test_what_is_confirmed_tells_where_it_was_before() -> None:
    video = Video(rate=10, first_id=57)
    outcomes = [video.show(at(100 + 30 * n)) for n in range(4)]
    assert [len(outcome.confirmed) for outcome in outcomes] == [0, 0, 1, 0]
    (confirmed,) = outcomes[2].confirmed
    assert (confirmed.track_id, confirmed.label) == (57, "person")
    assert [(seen.frame, round(seen.time, 6), seen.box) for seen in confirmed.sightings] == [
        (n + 1, round(0.1 * (n + 1), 6), at(100 + 30 * n).box) for n in range(3)
    ]


def test_somebody_who_walks_a_width_per_frame_stays_one() -> None:
    video = Video()
    ids = [video.show(at(100 + 45 * n)).track_ids[0] for n in range(12)]
    assert ids == [None, *[1] * 11]


def test_two_who_cross_keep_their_ids() -> None:
    video = Video(rate=5)
    there = [video.show(at(300 + 20 * n, 300), at(700 - 20 * n, 310)).track_ids for n in range(20)]
    assert there[2:] == [(1, 2)] * 18


def test_an_object_that_was_hidden_is_found_where_it_must_be() -> None:
    video = Video(rate=10)
    for n in range(10):
        video.show(at(100 + 8 * n))
    for _ in range(15):
        assert video.show() == Followed(())
    assert video.show(at(100 + 8 * 25), at(180, 500)).track_ids == (1, None)


def test_an_object_that_is_unseen_for_longer_than_the_gap_has_left() -> None:
    video = Video(rate=2, tracking=Tracking(max_gap_seconds=2.0))
    for _ in range(3):
        video.show(at(100))
    assert [video.show().ended for _ in range(4)] == [()] * 4
    assert video.show(at(100)) == Followed((None,), ended=(1,))
    assert [video.show(at(100)).track_ids for _ in range(2)] == [(2,), (2,)]


def test_an_object_that_is_found_at_the_end_of_the_gap_is_the_same() -> None:
    video = Video(rate=2, tracking=Tracking(max_gap_seconds=2.0))
    for _ in range(3):
        video.show(at(100))
    for _ in range(3):
        video.show()
    assert video.show(at(100)).track_ids == (1,)


def test_a_gap_in_the_footage_ends_nothing_that_stays_where_it_was() -> None:
    video = Video(rate=2)
    for _ in range(3):
        video.show(at(100), at(900))
    assert video.show(at(102), at(600), after=45.0).track_ids == (1, None)


def test_what_is_gone_after_a_gap_in_the_footage_ends_soon() -> None:
    video = Video(rate=2)
    for _ in range(3):
        video.show(at(100))
    assert video.show(after=45.0).ended == ()
    assert video.show().ended == (1,)


def test_after_a_minute_without_frames_everything_has_left() -> None:
    video = Video(rate=2)
    for _ in range(3):
        video.show(at(100))
    assert video.show(at(100), after=60.5) == Followed((None,), ended=(1,))


def test_sampling_that_is_slower_than_the_gap_still_follows_what_stands_still() -> None:
    video = Video(rate=0.1)
    assert [video.show(at(100)).track_ids for _ in range(3)] == [(None,), (1,), (1,)]
    assert [video.show().ended for _ in range(2)] == [(), (1,)]


def test_frames_of_equal_time_are_frames() -> None:
    video = Video()
    video.show(at(100))
    assert [video.show(at(100), after=0.0).track_ids for _ in range(3)] == [(None,), (1,), (1,)]
    assert [video.show(after=0.0).ended for _ in range(50)] == [()] * 50


def test_weak_detections_keep_an_object_and_begin_none() -> None:
    video = Video()
    for _ in range(3):
        video.show(at(100), at(500, confidence=0.2))
    assert video.show(at(100, confidence=0.2), at(500, confidence=0.2)).track_ids == (1, None)
    assert video.tracker.next_track_id == 2


def test_an_object_keeps_its_id_if_the_detector_calls_it_otherwise() -> None:
    video = Video()
    labels = ("truck", "car", "truck", "car", "bus")
    outcomes = [video.show(at(100, label=label)) for label in labels]
    assert [outcome.track_ids for outcome in outcomes] == [(None,), (1,), (1,), (1,), (1,)]
    assert [confirmed.label for outcome in outcomes for confirmed in outcome.confirmed] == ["truck"]


def test_objects_of_two_labels_at_one_place_are_two_objects() -> None:
    video = Video()
    bicycle = Detection("bicycle", 0.8, (60, 300, 140, 360))
    for _ in range(3):
        ids = video.show(at(100), bicycle).track_ids
    assert ids == (1, 2)
    assert video.show(bicycle, at(100)).track_ids == (2, 1)


def test_one_thing_that_is_found_under_two_labels_is_one_object() -> None:
    video = Video()
    for _ in range(5):
        ids = video.show(
            at(100, label="car", confidence=0.6), at(101, label="truck", confidence=0.5)
        ).track_ids
    assert ids == (1, None)


def test_a_weaker_box_of_one_person_begins_no_object_of_its_own() -> None:
    video = Video()
    video.show(at(100))
    for _ in range(5):
        legs = Detection("person", 0.7, (85, 300, 115, 350))
        shifted = Detection("person", 0.7, (95, 250, 135, 350))
        ids = video.show(at(100), legs, shifted).track_ids
    assert ids == (1, None, None)
    assert video.tracker.next_track_id == 2


def test_somebody_who_appears_close_behind_another_is_followed_once_apart() -> None:
    video = Video(rate=5)
    video.show(at(100))
    ids = [video.show(at(100), at(112 + 2 * n, confidence=0.7)).track_ids for n in range(12)]
    assert ids == [(1, None)] * 4 + [(1, 2)] * 8


def test_somebody_close_behind_another_is_followed_at_once_if_surely_found() -> None:
    video = Video(rate=5)
    video.show(at(100))
    video.show(at(100), at(115, confidence=0.75))
    assert video.show(at(100), at(115, confidence=0.5)).track_ids == (1, 2)


def test_a_box_of_another_label_inside_that_of_an_object_is_an_object() -> None:
    video = Video()
    video.show(at(100))
    for _ in range(3):
        ids = video.show(at(100), Detection("backpack", 0.5, (85, 270, 115, 310))).track_ids
    assert ids == (1, 2)


def test_at_most_so_many_objects_are_followed_and_it_is_told() -> None:
    crowd = [at(20 + n % 30 * 40, 20 + n // 30 * 60, height=50) for n in range(MAX_TRACKS + 1)]
    video = Video()
    assert not video.show(*crowd[:-1]).is_full
    for _ in range(3):
        outcome = video.show(*crowd)
    assert outcome.is_full
    assert sorted(one or 0 for one in outcome.track_ids) == list(range(MAX_TRACKS + 1))


def test_pictures_of_another_size_show_the_same_objects() -> None:
    tracker = Tracker(Tracking())
    for frame in range(5):
        tracker.update(frame, frame / 5, (1280, 720), [at(600 + 40 * frame, 400)])
    box = tuple(side / 2 for side in at(800, 400).box)
    half = Detection("person", 0.9, (box[0], box[1], box[2], box[3]))
    assert tracker.update(5, 1.0, (640, 360), [half]).track_ids == (1,)


def test_a_size_that_is_not_known_changes_nothing() -> None:
    tracker = Tracker(Tracking())
    for frame, size in enumerate([SIZE, (0, 0), SIZE, (0, 0), SIZE]):
        outcome = tracker.update(frame, frame / 5, size, [at(600)])
    assert outcome.track_ids == (1,)


@pytest.mark.parametrize("box", [(5.0, 5.0, 5.0, 5.0), (0.0, 0.0, 1280.0, 720.0), (9.0, 9.0, 3.0, 3.0)])
def test_boxes_of_any_shape_are_followed(box: tuple[float, float, float, float]) -> None:
    video = Video()
    for _ in range(4):
        ids = video.show(Detection("person", 1.0, box)).track_ids
    assert ids == (1,)


@pytest.mark.parametrize("rate", [30, 5, 2])
def test_a_camera_that_swings_changes_no_ids(rate: int) -> None:
    swings = Random(3)
    video = Video(rate=rate)
    ids = set()
    for _ in range(40):
        x, y = swings.uniform(-15, 15), swings.uniform(-15, 15)
        ids.add(video.show(*(at(200 + x + 60 * n, 300 + y) for n in range(8))).track_ids)
    assert len(ids - {(None,) * 8}) == 1


def test_a_camera_that_stands_still_is_not_moved_by_what_walks_in_step() -> None:
    video = Video(rate=5)
    for step in range(20):
        still = [at(100 + 150 * n, 200) for n in range(3)]
        ids = video.show(*still, *(at(100 + 20 * step + 80 * n, 500) for n in range(3))).track_ids
    assert ids == (1, 2, 3, 4, 5, 6)


def follow(tracker: Tracker, scene: Scene, frames: tuple[SceneFrame, ...]) -> list[Followed]:
    return [tracker.update(one.frame, one.time, scene.size, one.detections) for one in frames]


@pytest.mark.parametrize("rate", [30, 2])
@pytest.mark.parametrize("name", [name for name in WORLDS if name != "crowd"])
def test_a_tracker_that_was_saved_goes_on_the_same(name: str, rate: int) -> None:
    scene = make_scene(name, 1)
    frames = scene.sampled(rate)
    whole = follow(Tracker(Tracking()), scene, frames)
    rng = Random(1)
    tracker = Tracker(Tracking())
    outcomes = []
    for one in frames:
        outcomes += follow(tracker, scene, (one,))
        if rng.random() < 0.2:
            saved = msgspec.json.encode(tracker.save())
            state = msgspec.json.decode(saved, type=TrackerState)
            assert msgspec.json.encode(state) == saved
            tracker = Tracker(Tracking(), tracker.next_track_id, state)
    assert outcomes == whole


def test_a_saved_state_does_not_change_with_the_tracker() -> None:
    video = Video()
    video.show(at(100))
    state = video.tracker.save()
    before = msgspec.json.encode(state)
    video.show(at(110))
    other = Tracker(Tracking(), state=state)
    other.update(2, 1.0, SIZE, [at(110)])
    assert msgspec.json.encode(state) == before


@pytest.mark.parametrize("name", WORLDS)
def test_ids_count_up_and_each_is_confirmed_once_and_ends_once(name: str) -> None:
    scene = make_scene(name, 2)
    tracker = Tracker(Tracking(), 10)
    alive: set[int] = set()
    confirmed: list[int] = []
    for outcome in follow(tracker, scene, scene.sampled(5)):
        assert alive >= set(outcome.ended)
        alive -= set(outcome.ended)
        confirmed += [track.track_id for track in outcome.confirmed]
        alive |= {track.track_id for track in outcome.confirmed}
        given = [one for one in outcome.track_ids if one is not None]
        assert len(given) == len(set(given))
        assert alive >= set(given)
    assert confirmed == list(range(10, tracker.next_track_id))
