"""A scene as a detector sees it: true boxes with identities, and detections with their faults."""

from random import Random

from msgspec import Struct
from msgspec.structs import replace

from app.domain.prediction import Detection

from .movement import HEIGHT, RATE, WIDTH, Actor, PixelBox
from .worlds import SECONDS, WORLDS, World

LEAST_VISIBLE = 0.15
"""What is hidden more than that belongs to no truth, because nobody can be asked to see it."""
POINTS_ACROSS, POINTS_DOWN = 4, 6
SUPPRESSED_ABOVE = 0.7
"""Of two boxes that overlap more than that, detectors keep the one with more confidence."""


class Truth(Struct, frozen=True):
    """An object that can be seen, and who it is."""

    identity: int
    label: str
    box: PixelBox


class SceneFrame(Struct, frozen=True):
    """One frame. `time` is in seconds. If it is not labelled, nobody knows its truths."""

    frame: int
    time: float
    truths: tuple[Truth, ...]
    detections: tuple[Detection, ...]
    is_labelled: bool = True


class Scene(Struct, frozen=True):
    """Frames in order, `rate` in a second, of pictures with `size` (width, height)."""

    name: str
    size: tuple[int, int]
    frames: tuple[SceneFrame, ...]
    rate: int = RATE

    def sampled(self, rate: int) -> tuple[SceneFrame, ...]:
        """Return the frames that sampling at `rate` frames/s takes, a divisor of its own, numbered anew."""
        return tuple(replace(one, frame=n) for n, one in enumerate(self.frames[:: self.rate // rate]))


class _Mood:
    """How well one object is found at the moment: a slow wave of luck, and slow errors of its four edges."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.luck = rng.gauss(0, 1)
        self._edges = [rng.gauss(0, 1) for _ in range(4)]

    def next(self) -> tuple[float, list[float]]:
        """Return luck and the errors of the edges, each with a standard deviation of 1."""
        self.luck = 0.9 * self.luck + self._rng.gauss(0, 0.436)
        self._edges = [0.7 * edge + self._rng.gauss(0, 0.714) for edge in self._edges]
        return self.luck, self._edges


def make_scene(name: str, seed: int) -> Scene:
    """Return the scene of this name and seed, always the same one."""
    rng = Random(f"{name} {seed}")
    world = WORLDS[name](rng)
    moods = {actor.identity: _Mood(rng) for actor in world.actors}
    swing = [0.0, 0.0]
    frames = []
    for tick in range(SECONDS * RATE):
        if world.shake:
            # A swing of about a second, with jolts.
            jolt = world.shake if rng.random() < 0.01 else 0.0
            swing = [0.93 * s + rng.gauss(0, 0.37) * world.shake + rng.uniform(-1, 1) * jolt for s in swing]
        seen = _visible(world, tick, (swing[0], swing[1]))
        truths = tuple(
            Truth(actor.identity, actor.label, box)
            for actor, box, visible in seen
            if visible >= LEAST_VISIBLE
        )
        found = [
            detection
            for actor, box, visible in seen
            for detection in [_detected(rng, actor, box, visible, moods[actor.identity], world.misses)]
            if detection is not None
        ]
        found += _false_alarms(rng, world, tick)
        frames.append(SceneFrame(tick, tick / RATE, truths, tuple(_suppressed(found))))
    return Scene(name, (WIDTH, HEIGHT), tuple(frames))


def _visible(world: World, tick: int, swing: tuple[float, float]) -> list[tuple[Actor, PixelBox, float]]:
    """Return who is in the picture, with the box cut at its edges, and the fraction that can be seen."""
    boxes: list[tuple[Actor, PixelBox]] = []
    for actor in world.actors:
        box = actor.box(tick)
        if box is not None:
            x, y = swing
            boxes.append((actor, (box[0] + x, box[1] + y, box[2] + x, box[3] + y)))
    boxes.sort(key=lambda item: (-item[1][3], item[0].identity))  # the nearest first
    pillars = [(a + swing[0], b, c + swing[0], d) for a, b, c, d in world.pillars]
    result = []
    for number, (actor, box) in enumerate(boxes):
        near = [*(other for _, other in boxes[:number] if overlap(box, other) > 0), *pillars]
        visible = _fraction_seen(box, near)
        x1, y1, x2, y2 = max(box[0], 0.0), max(box[1], 0.0), min(box[2], WIDTH), min(box[3], HEIGHT)
        if visible > 0 and x2 - x1 > 4 and y2 - y1 > 4:
            result.append((actor, (x1, y1, x2, y2), visible))
    return result


def _fraction_seen(box: PixelBox, near: list[PixelBox]) -> float:
    """Return which fraction of a grid of points in the box is in the picture and behind nothing."""
    seen = 0
    for across in range(POINTS_ACROSS):
        x = box[0] + (across + 0.5) / POINTS_ACROSS * (box[2] - box[0])
        for down in range(POINTS_DOWN):
            y = box[1] + (down + 0.5) / POINTS_DOWN * (box[3] - box[1])
            if 0 <= x < WIDTH and 0 <= y < HEIGHT:
                seen += not any(a <= x < c and b <= y < d for a, b, c, d in near)
    return seen / (POINTS_ACROSS * POINTS_DOWN)


def _detected(
    rng: Random, actor: Actor, box: PixelBox, visible: float, mood: _Mood, misses: float
) -> Detection | None:
    """Return what the detector finds of an object, or None."""
    luck, edges = mood.next()
    confidence = 0.92 - 0.75 * (1 - visible) - misses * 0.3 * max(0.0, 0.4 - luck) + rng.gauss(0, 0.04)
    if confidence < 0.1 or rng.random() < 0.02 + 0.08 * misses:
        return None
    blur = 0.02 + 0.05 * (1 - visible)
    width, height = box[2] - box[0], box[3] - box[1]
    x1, x2 = box[0] + edges[0] * blur * width, box[2] + edges[1] * blur * width
    y1, y2 = box[1] + edges[2] * blur * height, box[3] + edges[3] * blur * height
    label = actor.other_label if actor.other_label and luck < -1.2 else actor.label
    return _detection(label, confidence, (x1, y1, x2, y2))


def _false_alarms(rng: Random, world: World, tick: int) -> list[Detection]:
    """Return what is found that is none: at random places, and now and then at two places for a second."""
    found = []
    label = world.actors[0].label
    if rng.random() < world.false_alarms * 0.3:
        x, y, height = rng.uniform(0, WIDTH), rng.uniform(200, HEIGHT), rng.uniform(40, 160)
        box = (x - height * 0.2, y - height, x + height * 0.2, y)
        found.append(_detection(label, rng.triangular(0.1, 0.8, 0.2), box))
    for number in range(2):
        second = Random(f"{number} {tick // RATE} {world.actors[0].width}")
        if second.random() < 0.25 and rng.random() < world.false_alarms * 0.5:
            x, y = 333.0 + 500 * number, 300.0 + 40 * number
            box = (
                x + rng.gauss(0, 3),
                y + rng.gauss(0, 3),
                x + 50 + rng.gauss(0, 3),
                y + 110 + rng.gauss(0, 3),
            )
            found.append(_detection(label, rng.uniform(0.15, 0.6), box))
    return found


def _detection(label: str, confidence: float, box: PixelBox) -> Detection:
    """Return it cut at the picture's edges and rounded, as it is stored."""
    x1, y1 = max(0.0, min(box[0], WIDTH - 2.0)), max(0.0, min(box[1], HEIGHT - 2.0))
    x2, y2 = min(float(WIDTH), max(box[2], x1 + 2)), min(float(HEIGHT), max(box[3], y1 + 2))
    rounded = (round(x1, 1), round(y1, 1), round(x2, 1), round(y2, 1))
    return Detection(label, round(max(0.1, min(0.99, confidence)), 3), rounded)


def _suppressed(found: list[Detection]) -> list[Detection]:
    """Return what non-maximum suppression leaves, the most confident first."""
    kept: list[Detection] = []
    for one in sorted(found, key=lambda detection: -detection.confidence):
        if all(overlap(one.box, other.box) <= SUPPRESSED_ABOVE for other in kept):
            kept.append(one)
    return kept


def overlap(one: PixelBox, other: PixelBox) -> float:
    """Return the intersection over union of two boxes."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    shared = across * down
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return shared / (areas - shared)
