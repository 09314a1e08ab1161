"""Decide which detection shows which of the objects that are followed."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import frexp, sqrt

from ...domain.prediction import Box, Detection
from .assignment import Choice, assign
from .kalman import Measured
from .state import Track

MAX_DISTANCE = 16.0
"""Largest squared distance of a detection from where an object should be, in variances."""
MAX_COST = 12.0
"""What it costs at most that a detection shows an object; see `_costs`."""
OTHER_LABEL = 6.0
"""What it costs besides if the detection has another label than the object: -2 ln of 0.05."""
SURPRISE = 0.05
"""Standard deviation of what the filter does not know of, such as steps, in sizes of the object."""
_SURPRISE_SQUARED = SURPRISE * SURPRISE

Pair = tuple[int, int]
"""The index of a track, and that of the detection that shows it."""

_Near = tuple[int, float, float, float]
"""A detection near an object: its index, squared distance, area in areas, cost of another label."""


def associate(
    tracks: Sequence[Track],
    detections: Sequence[Detection],
    seen: Sequence[Measured],
    confident: Sequence[int],
) -> list[Pair]:
    """Return which detection shows which track, each at most once. The filters must be predicted.

    First, the `confident` detections are given to all tracks. Then the others are given to confirmed tracks
    that are left, because an object that is hidden in part is found with little confidence.
    """
    pairs = _closest(tracks, range(len(tracks)), detections, seen, confident)
    if len(confident) == len(detections):
        return pairs
    others = set(confident)
    weak = [number for number in range(len(detections)) if number not in others]
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
    x_of = [one[0] for one in seen]
    across = sorted(numbers, key=x_of.__getitem__)
    places = [x_of[number] for number in across]
    widest = max([seen[number][4] for number in numbers])
    rows: list[list[_Near]] = []
    is_obvious, taken = True, set[int]()
    for track in left:
        followed = tracks[track]
        label, motion = followed.label, followed.filter
        track_x, track_y, width, height = motion.x, motion.y, motion.width, motion.height
        var_x, var_y = motion.x_x, motion.y_y
        surprise = _SURPRISE_SQUARED * width * height
        reach = sqrt(MAX_DISTANCE * (var_x + widest + surprise))
        row: list[_Near] = []
        for number in across[bisect_left(places, track_x - reach) : bisect_right(places, track_x + reach)]:
            x, y, wide, high, error_x, error_y, error_wide, error_high = seen[number]
            x_x = var_x + error_x + surprise
            off = x - track_x
            distance = off * off / x_x
            if distance > MAX_DISTANCE:
                continue
            y_y = var_y + error_y + surprise
            off = y - track_y
            distance += off * off / y_y
            if distance > MAX_DISTANCE:
                continue
            off = wide - width
            distance += off * off / (motion.width_width + error_wide)
            off = high - height
            distance += off * off / (motion.height_height + error_high)
            if distance > MAX_DISTANCE:
                continue
            area = width * height
            ratio = x_x * y_y / (area * area)
            penalty = 0.0 if detections[number].label == label else OTHER_LABEL
            if row or number in taken or not (ratio <= 1.0 and distance + penalty < MAX_COST):
                is_obvious = False
            taken.add(number)
            row.append((number, distance, ratio, penalty))
        rows.append(row)
    if is_obvious:  # each object has one detection at most, and none has that of another
        return [(track, row[0][0]) for track, row in zip(left, rows, strict=True) if row]
    columns = assign([_costs(row) for row in rows], MAX_COST)
    return [(track, column) for track, column in zip(left, columns, strict=True) if column is not None]


def _costs(row: Sequence[_Near]) -> list[Choice]:
    """Return how unlikely it is that an object is found there: -2 ln of the density, without constants.

    It is the squared distance in variances, plus the logarithm of the area in which the object may be, in
    areas of the object. So a track that knows its place goes before one that could be anywhere.
    """
    choices = [(number, distance + logarithm(ratio) + penalty) for number, distance, ratio, penalty in row]
    return [choice for choice in choices if choice[1] < MAX_COST]


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
