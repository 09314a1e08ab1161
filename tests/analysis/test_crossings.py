"""As many crossings are counted in simulated footage as there are, at every frame rate."""

from functools import cache

import pytest

from app.analysis.analysis import Analysis
from app.analysis.lines import Passage, WatchedLine
from app.domain.analysis import Line, Point
from tests.support.footage import rules
from tests.support.scenes import Scene, make_scene

LINES = [Line("middle", (0.5, 0.0), (0.5, 1.0)), Line("third", (0.33, 0.0), (0.33, 1.0))]
RULES = rules(lines=[{"name": line.name, "from": line.start, "to": line.end} for line in LINES])
SEEDS = (1, 2)


@pytest.mark.parametrize(("rate", "tolerance"), [(30, 0.1), (10, 0.06), (5, 0.06), (2, 0.1)])
@pytest.mark.parametrize("name", ["crossings", "turns", "stops"])
def test_crossings_are_counted_as_they_are(name: str, rate: int, tolerance: float) -> None:
    scenes = scenes_of(name)
    true = sum(true_crossings(scene) for scene in scenes)
    assert true > 40
    assert abs(sum(counted(scene, rate) for scene in scenes) - true) <= tolerance * true


@cache
def scenes_of(name: str) -> list[Scene]:
    return [make_scene(name, seed) for seed in SEEDS]


def true_crossings(scene: Scene) -> int:
    """The crossings of the objects' true boxes, with their identities, at the full frame rate."""
    width, height = scene.size
    count = 0
    for line in LINES:
        watched = WatchedLine(line)
        passages: dict[int, Passage] = {}
        before: dict[int, Point] = {}
        for frame in scene.frames:
            for truth in frame.truths:
                x1, y1, x2, y2 = truth.box
                x, y = 0.5 * (x1 + x2) / width, y2 / height
                passage = passages.setdefault(truth.identity, Passage())
                side = watched.follow(
                    passage, before.get(truth.identity), x, y, (x2 - x1) / width, (y2 - y1) / height
                )
                count += side is not None
                before[truth.identity] = (x, y)
    return count


def counted(scene: Scene, rate: int) -> int:
    """The crossings that analysis tells of what a detector finds, at this frame rate."""
    analysis = Analysis(RULES)
    count = 0
    for one in scene.sampled(rate):
        step = analysis.step(one.frame, one.time, scene.size, one.detections)
        count += sum(event.kind == "line" for event in step.events)
    return count
