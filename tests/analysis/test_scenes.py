"""The scenes are what their names say, and always the same."""

import pytest

from tests.support.scenes import RATE, WORLDS, make_scene


@pytest.mark.parametrize("name", [name for name in WORLDS if name != "crowd"])
def test_a_scene_is_the_same_each_time_and_another_for_each_seed(name: str) -> None:
    assert make_scene(name, 1) == make_scene(name, 1) != make_scene(name, 2)


@pytest.mark.parametrize("name", WORLDS)
def test_a_scene_has_objects_and_most_of_them_are_found(name: str) -> None:
    frames = make_scene(name, 1).frames
    truths = sum(len(frame.truths) for frame in frames)
    found = sum(len(frame.detections) for frame in frames)
    assert truths > 2 * len(frames)
    assert 0.7 * truths < found < 1.5 * truths


def test_every_rate_takes_frames_of_the_same_detections() -> None:
    scene = make_scene("turns", 1)
    for rate in (30, 10, 5, 2):
        frames = scene.sampled(rate)
        assert [frame.frame for frame in frames] == list(range(len(frames)))
        assert [frame.detections for frame in frames] == [
            scene.frames[round(frame.time * RATE)].detections for frame in frames
        ]


def test_pillars_hide_people_for_a_while_and_they_come_out_again() -> None:
    frames = make_scene("pillars", 1).frames
    seen = [{truth.identity for truth in frame.truths} for frame in frames]
    hidden = {
        identity
        for before, now, after in zip(seen, seen[RATE // 2 :], seen[2 * RATE :], strict=False)
        for identity in before & after - now
    }
    assert len(hidden) >= 4


def test_trucks_are_at_times_taken_for_cars() -> None:
    frames = make_scene("traffic", 1).frames
    true = sum(truth.label == "truck" for frame in frames for truth in frame.truths)
    found = sum(one.label == "truck" for frame in frames for one in frame.detections)
    assert true != found
