"""People in a real video keep their ids, at any frame rate."""

from collections import Counter

import pytest

from app.analysis.tracking.assignment import assign
from app.analysis.tracking.tracker import Tracker
from app.domain.analysis import Tracking
from tests.support.scenes import Scene, labelled_clip, overlap


def identified(scene: Scene, rate: int) -> float:
    """IDF1: the share of true and found boxes that are found under one id for each person, 0 to 1."""
    tracker = Tracker(Tracking())
    shared: Counter[tuple[int, int]] = Counter()
    boxes = 0
    for frame in scene.sampled(rate):
        ids = tracker.update(frame.frame, frame.time, scene.size, frame.detections).track_ids
        if not frame.is_labelled:
            continue
        found = [
            (one.box, number) for one, number in zip(frame.detections, ids, strict=True) if number is not None
        ]
        boxes += len(found) + len(frame.truths)
        shared.update(
            (truth.identity, number)
            for truth in frame.truths
            for box, number in found
            if overlap(truth.box, box) >= 0.5
        )
    people = sorted({person for person, _ in shared})
    rows = [
        [(number, -float(count)) for (who, number), count in shared.items() if who == person]
        for person in people
    ]
    kept = assign(rows, 0.0)
    return (
        2 * sum(shared[person, number] for person, number in zip(people, kept, strict=True) if number) / boxes
    )


@pytest.mark.parametrize(("rate", "least"), [(10, 0.63), (5, 0.65), (2, 0.74)])
def test_people_in_a_real_video_keep_their_ids(rate: int, least: float) -> None:
    assert identified(labelled_clip(), rate) >= least
