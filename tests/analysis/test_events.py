"""Each kind of event begins, ends and fires when the documentation says."""

import pytest

from app.analysis.analysis import Analysis
from app.domain.event import Carried
from app.domain.prediction import Detection
from tests.support.footage import SIZE, Shown, at, between, events_of, rules, told, walk

LEFT_HALF = {"name": "left", "polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}
MIDDLE = {"name": "middle", "from": [0, 0.5], "to": [1, 0.5]}
STANDING = [(300.0, 800.0)]


def nothing(*times: float) -> list[Shown]:
    return [(time, ()) for time in times]


def seconds(start: float, end: float, fps: int = 10) -> list[float]:
    return [start + n / fps for n in range(round((end - start) * fps))]


def test_an_object_stays_from_its_first_frame_to_its_last_one() -> None:
    frames = [*walk(STANDING * 20), *nothing(*seconds(2, 5))]
    events = events_of(Analysis(rules()), frames)
    assert told(events, "object") == [(None, "ended", 0.0, 1.9)]
    assert len(events) == 1
    assert (events[0].label, events[0].track_id, events[0].start_frame, events[0].end_frame) == (
        "person",
        1,
        0,
        19,
    )


def test_an_object_is_seen_best_where_confidence_times_area_is_largest() -> None:
    boxes = [
        at(300, 800),
        at(300, 800, confidence=0.95),
        at(300, 802, height=204, confidence=0.93),
        at(300, 802, height=204, confidence=0.93),
        at(300, 800, confidence=0.99, height=190),
    ]
    events = events_of(Analysis(rules()), [(n / 10, (box,)) for n, box in enumerate(boxes)])
    assert (events[0].best_frame, events[0].best_time, events[0].best_confidence) == (2, 0.2, 0.93)
    assert events[0].best_box == boxes[2].box


def test_a_visit_is_from_the_first_to_the_last_frame_in_the_zone() -> None:
    way = between((800, 800), (100, 800), 71) + between((100, 800), (800, 800), 71)
    events = events_of(Analysis(rules(zones=[LEFT_HALF])), [*walk(way), *nothing(*seconds(14.2, 17))])
    assert told(events, "zone") == [("left", "ended", 3.0, 11.1)]


def test_a_zone_that_is_left_for_less_than_the_gap_is_visited_once() -> None:
    back_and_forth = [(490.0, 800.0)] * 10 + [(510.0, 800.0)] * 10
    events = events_of(Analysis(rules(zones=[LEFT_HALF])), walk(back_and_forth * 4))
    assert told(events, "zone") == [("left", "open", 0.0, 6.9)]
    longer = [(490.0, 800.0)] * 10 + [(510.0, 800.0)] * 25
    events = events_of(Analysis(rules(zones=[LEFT_HALF])), walk(longer * 2))
    assert told(events, "zone") == [("left", "ended", 0.0, 0.9), ("left", "ended", 3.5, 4.4)]


def test_what_stands_at_the_lower_edge_of_the_picture_is_in_a_zone_that_reaches_it() -> None:
    events = events_of(Analysis(rules(zones=[LEFT_HALF])), walk([(300.0, 1000.0)] * 5))
    assert told(events, "zone") == [("left", "open", 0.0, 0.4)]


def test_a_zones_anchor_is_the_lower_edge_or_the_middle() -> None:
    top = {"name": "top", "polygon": [[0, 0], [1, 0], [1, 0.5], [0, 0.5]]}
    frames = walk([(300.0, 590.0)] * 5)  # its middle is at 490
    assert told(events_of(Analysis(rules(zones=[top])), frames), "zone") == []
    centred = {**top, "anchor": "center"}
    assert len(told(events_of(Analysis(rules(zones=[centred])), frames), "zone")) == 1


def test_what_stands_in_an_ignored_zone_is_stored_and_has_no_track_and_no_events() -> None:
    ignored = rules(zones=[{**LEFT_HALF, "ignore": True}], presence={})
    analysis = Analysis(ignored)
    for n in range(10):
        step = analysis.step(n, n / 10, SIZE, (at(300, 800, "tree"), at(800, 800, "car")))
        assert [one.label for one in step.detections] == ["tree", "car"]
        assert step.detections[0].track_id is None
        assert {event.label for event in step.events} <= {"car"}
    assert step.detections[1].track_id == 1


@pytest.mark.parametrize(("start", "end", "side", "frame"), [(300, 800, "right", 23), (800, 300, "left", 33)])
def test_a_crossing_is_to_the_side_seen_along_the_line(
    start: float, end: float, side: str, frame: int
) -> None:
    """Along the line from left to right, what is lower in the picture is on the right.

    Boxes are 200 high, so they must be 30 beyond the line.
    """
    events = events_of(Analysis(rules(lines=[MIDDLE])), walk(between((300, start), (300, end), 51)))
    crossings = [event for event in events if event.kind == "line"]
    assert [(one.name, one.direction, one.state) for one in crossings] == [("middle", side, "ended")]
    assert crossings[0].start_frame == crossings[0].end_frame == crossings[0].best_frame == frame
    turned = {"name": "turned", "from": [1, 0.5], "to": [0, 0.5]}
    events = events_of(Analysis(rules(lines=[turned])), walk(between((300, start), (300, end), 51)))
    assert [event.direction for event in events if event.kind == "line"] == [
        {"right": "left"}.get(side, "right")
    ]


def test_each_way_over_a_line_is_one_crossing() -> None:
    way = between((300, 300), (300, 800), 51)
    there_and_back = walk((way + way[::-1]) * 2)
    events = events_of(Analysis(rules(lines=[MIDDLE])), there_and_back)
    assert [event.direction for event in events if event.kind == "line"] == ["right", "left"] * 2


def test_an_object_that_jitters_on_a_line_crosses_it_once_at_most() -> None:
    way = between((300, 300), (300, 500), 21)
    jitter = [(300.0, 500.0 + offset) for offset in (12, -15, 20, -20, 8, -25, 25, -28, 0)] * 10
    events = events_of(Analysis(rules(lines=[MIDDLE])), walk(way + jitter))
    assert told(events, "line") == []
    events = events_of(
        Analysis(rules(lines=[MIDDLE])), walk(way + jitter + between((300, 500), (300, 800), 31))
    )
    assert len(told(events, "line")) == 1


def test_who_walks_round_the_end_of_a_line_does_not_cross_it() -> None:
    short = {"name": "short", "from": [0.2, 0.5], "to": [0.4, 0.5]}
    round_it = between((300, 300), (600, 300), 31) + between((600, 300), (600, 800), 51)
    back_below = between((600, 800), (300, 800), 31)
    events = events_of(Analysis(rules(lines=[short])), walk(round_it + back_below))
    assert told(events, "line") == []
    past_it = between((100, 460), (450, 460), 36) + between((450, 460), (450, 800), 35)
    assert told(events_of(Analysis(rules(lines=[short])), walk(past_it)), "line") == []
    then_over = between((300, 800), (300, 300), 51)
    events = events_of(Analysis(rules(lines=[short])), walk(round_it + back_below + then_over))
    assert [event.direction for event in events if event.kind == "line"] == ["left"]


def test_presence_bridges_gaps_and_needs_no_tracking() -> None:
    seen = at(300, 800, "cat"), at(700, 800, "dog")
    frames: list[Shown] = [(0.0, seen), (1.5, ()), (2.0, seen[:1]), (3.0, ()), (4.5, seen[:1])]
    events = events_of(Analysis(rules(tracking=None, presence={})), frames)
    assert [(event.label, event.state, event.start_time, event.end_time) for event in events] == [
        ("cat", "ended", 0.0, 2.0),
        ("dog", "ended", 0.0, 0.0),
        ("cat", "open", 4.5, 4.5),
    ]
    assert all(event.kind == "presence" and event.track_id is None for event in events)


@pytest.mark.parametrize(("gap", "expected"), [(60.0, 1), (60.5, 2)])
def test_up_to_a_minute_without_frames_ends_nothing(gap: float, expected: int) -> None:
    asked = rules(zones=[LEFT_HALF], presence={}, alerts=[{"name": "one", "zone": "left"}])
    before = walk(STANDING * 10)
    frames = before + walk(STANDING * 10, start=before[-1][0] + gap)
    events = events_of(Analysis(asked), frames)
    assert [len(told(events, kind)) for kind in ("object", "zone", "presence", "alert")] == [expected] * 4


def test_an_alert_fires_once_for_a_stay_when_it_has_lasted() -> None:
    alerts = [
        {"name": "visitor", "zone": "left", "labels": ["person"], "min_seconds": 3},
        {"name": "car", "zone": "left", "labels": ["car"]},
        {"name": "in the picture", "min_seconds": 1},
        {"name": "certain", "min_confidence": 0.95},
    ]
    analysis = Analysis(rules(zones=[LEFT_HALF], alerts=alerts))
    events = events_of(analysis, walk(STANDING * 60))
    assert told(events, "alert") == [
        ("in the picture", "ended", 1.0, 1.0),
        ("visitor", "ended", 3.0, 3.0),
    ]
    alert = events[-1]
    assert (alert.label, alert.track_id, alert.start_frame, alert.direction) == ("person", 1, 30, None)
    assert analysis.carried.cooldowns == {"in the picture": 1.0, "visitor": 3.0}


def test_an_alert_on_a_line_fires_for_each_crossing_in_its_direction() -> None:
    alerts = [{"name": "wrong way", "line": "middle", "direction": "left"}, {"name": "any", "line": "middle"}]
    way = between((300, 300), (300, 800), 51)
    events = events_of(Analysis(rules(lines=[MIDDLE], alerts=alerts)), walk((way + way[::-1]) * 2))
    fired = [(event.name, event.direction) for event in events if event.kind == "alert"]
    assert fired == [("any", "right"), ("wrong way", "left"), ("any", "left")] * 2


def test_an_alert_is_silent_until_its_cooldown_is_over() -> None:
    alerts = [{"name": "visitor", "cooldown_seconds": 10}]
    visits = [frame for start in (0, 5, 11) for frame in walk(STANDING * 10, start=start)]
    gaps = nothing(*seconds(1, 5), *seconds(6, 11))
    events = events_of(Analysis(rules(alerts=alerts)), sorted([*visits, *gaps], key=lambda one: one[0]))
    assert len(told(events, "object")) == 3
    assert told(events, "alert") == [("visitor", "ended", 0.2, 0.2), ("visitor", "ended", 11.2, 11.2)]


def test_a_stay_that_goes_on_when_the_cooldown_ends_fires_then() -> None:
    alerts = [{"name": "visitor", "cooldown_seconds": 5}]
    frames = [
        (time, (at(300, 800), at(700, 800)) if time >= 1 else (at(300, 800),)) for time in seconds(0, 20)
    ]
    events = events_of(Analysis(rules(alerts=alerts)), frames)
    fired = [(event.track_id, event.start_time) for event in events if event.kind == "alert"]
    assert fired == [(1, 0.2), (2, 5.2)]


@pytest.mark.parametrize(
    ("cooldown", "fired", "fires"), [(0, 500.0, True), (10, 5.0, False), (10, 500.0, True), (10, -5.0, False)]
)
def test_a_clock_that_is_set_back_silences_no_alert_for_longer_than_its_cooldown(
    cooldown: float, fired: float, fires: bool
) -> None:
    alerts = [{"name": "visitor", "cooldown_seconds": cooldown}]
    analysis = Analysis(rules(alerts=alerts), Carried(1, 1, {"visitor": fired}))
    assert bool(told(events_of(analysis, walk(STANDING * 4)), "alert")) == fires


def test_visits_before_an_object_is_certain_are_told_apart_as_those_after_it() -> None:
    asked = rules(tracking={"max_gap_seconds": 0.1}, zones=[LEFT_HALF])
    events = events_of(Analysis(asked), walk([(495.0, 800.0), (505.0, 800.0), (495.0, 800.0)]))
    assert told(events, "zone") == [("left", "ended", 0.0, 0.0), ("left", "open", 0.2, 0.2)]


def test_cooldowns_and_ids_outlive_the_state() -> None:
    alerts = [{"name": "visitor", "cooldown_seconds": 10}]
    before = Analysis(rules(alerts=alerts))
    events_of(before, walk(STANDING * 10))
    after = Analysis(rules(alerts=alerts), before.carried)
    events = events_of(after, walk(STANDING * 120, start=1.0))
    assert [event.track_id for event in events] == [2, 2]
    assert [event.event_id for event in events] == [3, 4]
    assert told(events, "alert") == [("visitor", "ended", 10.2, 10.2)]
    assert before.carried == Carried(2, 3, {"visitor": 0.2})


def test_without_tracking_an_alert_is_about_a_label_that_stays() -> None:
    alerts = [{"name": "motion", "labels": ["motion"], "min_seconds": 1}]
    asked = rules(tracking=None, presence={}, alerts=alerts)
    frames: list[Shown] = [(time, (at(300, 800, "motion"),)) for time in seconds(0, 3)]
    events = events_of(Analysis(asked), frames)
    assert told(events, "alert") == [("motion", "ended", 1.0, 1.0)]
    assert events[-1].track_id is None


def test_open_events_end_or_are_interrupted_as_last_seen() -> None:
    analysis = Analysis(rules(zones=[LEFT_HALF], presence={}))
    events_of(analysis, [*walk(STANDING * 10), *nothing(1.0, 1.1)])
    for state in ("ended", "interrupted"):
        events = analysis.end(state)
        assert [(event.event_id, event.kind, event.state, event.end_time) for event in events] == [
            (1, "presence", state, 0.9),
            (2, "object", state, 0.9),
            (3, "zone", state, 0.9),
        ]


def test_stored_track_ids_are_used_as_they_are() -> None:
    def stored(number: int | None) -> Detection:
        one = at(300, 800)
        return Detection(one.label, one.confidence, one.box, number)

    analysis = Analysis(rules(zones=[LEFT_HALF]), has_stored_tracks=True)
    frames = [(0.0, (stored(None),)), *[(n / 10, (stored(7),)) for n in range(1, 20)], *nothing(3, 4, 5)]
    events = events_of(analysis, frames)
    assert [(event.kind, event.track_id, event.state) for event in events] == [
        ("object", 7, "ended"),
        ("zone", 7, "ended"),
    ]
    assert told(events, "object") == [(None, "ended", 0.1, 1.9)]


def test_bounds_are_told_when_they_are_met() -> None:
    analysis = Analysis(rules(presence={}))
    for n in range(3):
        boxes = [
            at(20 + 40 * (i % 25), 70 + 60 * (i // 25), f"label {i % 70}", height=50) for i in range(325)
        ]
        step = analysis.step(n, n / 10, SIZE, boxes)
    assert sum(one.track_id is not None for one in step.detections) == 300
    assert sum(event.kind == "presence" for event in step.events) == 64
    assert ["300" in warning or "64" in warning for warning in analysis.warnings] == [True, True]
    assert Analysis(rules(presence={}), None, analysis.save()).warnings == analysis.warnings


def test_zones_do_not_apply_to_pictures_of_unknown_size_and_that_is_told() -> None:
    analysis = Analysis(rules(zones=[LEFT_HALF]))
    for n in range(5):
        step = analysis.step(n, n / 10, (0, 0), (at(300, 800),))
    assert [event.kind for event in step.events] == ["object"]
    assert "size" in analysis.warnings[0]


def test_zones_follow_a_picture_that_changes_its_size() -> None:
    analysis = Analysis(rules(zones=[LEFT_HALF], lines=[MIDDLE]))
    for n in range(40):
        big = at(300, 800)
        half = Detection(big.label, big.confidence, tuple([side / 2 for side in big.box]))  # type: ignore[arg-type]
        step = analysis.step(n, n / 10, SIZE if n < 20 else (500, 500), (big if n < 20 else half,))
    assert [(event.kind, event.start_frame, event.state) for event in step.events] == [
        ("object", 0, "open"),
        ("zone", 0, "open"),
    ]
