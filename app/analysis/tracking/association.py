"""Decide which detection shows which of the objects that are followed."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import frexp, sqrt

from ...domain.prediction import Box, Detection
from .assignment import assign
from .kalman import Filter, Measured
from .state import Track

MAX_DISTANCE = 16.0
"""Largest squared distance of a detection from where an object should be, in variances."""
MAX_COST = 12.0
"""What it costs at most that a detection shows an object; see `_cost`."""
OTHER_LABEL = 6.0
"""What it costs besides if the detection has another label than the object: -2 ln of 0.05."""
SURPRISE = 0.05
"""Standard deviation of what the filter does not know of, such as steps, in sizes of the object."""

Pair = tuple[int, int]
"""The index of a track, and that of the detection that shows it."""


def associate(
    tracks: Sequence[Track], detections: Sequence[Detection], seen: Sequence[Measured], min_confidence: float
) -> list[Pair]:
    """Return which detection shows which track, each at most once. The filters must be predicted.

    First, confident detections are given to all tracks. Then weak ones are given to confirmed tracks that are
    left, because an object that is hidden in part is found with little confidence.
    """
    confident = [number for number, one in enumerate(detections) if one.confidence >= min_confidence]
    pairs = _closest(tracks, range(len(tracks)), detections, seen, confident)
    if len(confident) == len(detections):
        return pairs
    weak = [number for number, one in enumerate(detections) if one.confidence < min_confidence]
    found = {track for track, _ in pairs}
    left = [n for n, track in enumerate(tracks) if n not in found and track.track_id is not None]
    return pairs + _closest(tracks, left, detections, seen, weak)


def _closest(
    tracks: Sequence[Track],
    left: Sequence[int],
    detections: Sequence[Detection],
    seen: Sequence[Measured],
    numbers: Sequence[int],
) -> list[Pair]:
    """Return the pairs of these tracks and detections that cost least together."""
    if not left or not numbers:
        return []
    across = sorted(numbers, key=[one.x for one in seen].__getitem__)
    places = [seen[number].x for number in across]
    widest = max([seen[number].x_x for number in numbers])
    rows = []
    for track in left:
        label, motion = tracks[track].label, tracks[track].filter
        surprise = SURPRISE * SURPRISE * motion.width * motion.height
        x, reach = motion.x, sqrt(MAX_DISTANCE * (motion.x_x + widest + surprise))
        choices = []
        for number in across[bisect_left(places, x - reach) : bisect_right(places, x + reach)]:
            cost = _cost(motion, seen[number], surprise)
            if detections[number].label != label:
                cost += OTHER_LABEL
            if cost < MAX_COST:
                choices.append((number, cost))
        rows.append(choices)
    columns = assign(rows, MAX_COST)
    return [(track, column) for track, column in zip(left, columns, strict=True) if column is not None]


def _cost(track: Filter, seen: Measured, surprise: float) -> float:
    """Return how unlikely it is that the object is found here: -2 ln of the density, without constants.

    It is the squared distance in variances, plus the logarithm of the area in which the object may be, in
    areas of the object. So a track that knows its place goes before one that could be anywhere.
    """
    x_x = track.x_x + seen.x_x + surprise
    off = seen.x - track.x
    distance = off * off / x_x
    if distance > MAX_DISTANCE:
        return MAX_COST
    y_y = track.y_y + seen.y_y + surprise
    off = seen.y - track.y
    distance += off * off / y_y
    if distance > MAX_DISTANCE:
        return MAX_COST
    off = seen.width - track.width
    distance += off * off / (track.width_width + seen.width_width)
    off = seen.height - track.height
    distance += off * off / (track.height_height + seen.height_height)
    if distance > MAX_DISTANCE:
        return MAX_COST
    area = track.width * track.height
    return distance + logarithm(x_x * y_y / (area * area))


def logarithm(value: float) -> float:
    """Return the natural logarithm of a positive number to seven digits, by + − × ÷ only.

    The C library's differs in its last digit between machines.
    """
    mantissa, exponent = frexp(value)
    if mantissa < 0.7071067811865476:
        mantissa, exponent = mantissa * 2.0, exponent - 1
    z = (mantissa - 1.0) / (mantissa + 1.0)
    square = z * z
    series = 1.0 + square * (1.0 / 3.0 + square * (0.2 + square / 7.0))
    return 2.0 * z * series + 0.6931471805599453 * exponent


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    shared = _intersection(one, other)
    return shared / (_area(one) + _area(other) - shared) if shared else 0.0


def inside(one: Box, other: Box) -> float:
    """Return which part of the first box lies inside the other."""
    shared = _intersection(one, other)
    return shared / _area(one) if shared else 0.0


def _intersection(one: Box, other: Box) -> float:
    """Return the area that two boxes share."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across * down if across > 0.0 and down > 0.0 else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
