"""Decide which detection shows which of the objects that are followed."""

from bisect import bisect_left
from collections.abc import Sequence
from math import frexp, sqrt

from ...domain.prediction import Box, Detection
from .assignment import assign
from .kalman import Filter, Measured
from .state import Track

MAX_DISTANCE = 16.0
"""Largest squared distance of a detection from where an object should be, in variances."""
MAX_COST = 16.0
"""What it costs at most that a detection shows an object; see `_cost`."""
SAME_PLACE = 0.5
"""Overlap from which on a detection with another label is taken for an object."""

Pair = tuple[int, int]
"""The index of a track, and that of the detection that shows it."""


def associate(
    tracks: Sequence[Track], detections: Sequence[Detection], seen: Sequence[Measured], min_confidence: float
) -> list[Pair]:
    """Return which detection shows which track, each at most once. The filters must be predicted.

    First, confident detections are given to tracks of their label. Then weak ones are given to confirmed
    tracks that are left: an object that is hidden in part is found with little confidence. Last, what
    overlaps a track by SAME_PLACE is taken for it whatever its label: detectors confuse cars with trucks.
    """
    confident = [number for number, one in enumerate(detections) if one.confidence >= min_confidence]
    weak = [number for number, one in enumerate(detections) if one.confidence < min_confidence]
    stages: tuple[tuple[bool, list[int]], ...] = ((False, confident), (True, weak))
    pairs: list[Pair] = []
    found: set[int] = set()
    for only_confirmed, numbers in stages:
        left = [
            n for n, t in enumerate(tracks) if n not in found and not (only_confirmed and t.track_id is None)
        ]
        if left and numbers:
            new = _closest(tracks, left, detections, seen, numbers)
            pairs += new
            found.update(track for track, _ in new)
    used = {detection for _, detection in pairs}
    left = [number for number in range(len(tracks)) if number not in found]
    free = [number for number in range(len(detections)) if number not in used]
    if left and free:
        pairs += _relabelled(tracks, left, seen, free)
    return pairs


def _closest(
    tracks: Sequence[Track],
    left: Sequence[int],
    detections: Sequence[Detection],
    seen: Sequence[Measured],
    numbers: Sequence[int],
) -> list[Pair]:
    """Return the cheapest pairs of tracks and detections of the same label."""
    across = sorted(numbers, key=lambda number: seen[number].x)
    places = [seen[number].x for number in across]
    widest = max(seen[number].x_x for number in numbers)
    rows = []
    for track in left:
        one = tracks[track]
        reach = sqrt(MAX_DISTANCE * (one.filter.x_x + widest))
        choices = []
        place = bisect_left(places, one.filter.x - reach)
        end = one.filter.x + reach
        while place < len(places) and places[place] <= end:
            number = across[place]
            place += 1
            if detections[number].label == one.label:
                cost = _cost(one.filter, seen[number])
                if cost < MAX_COST:
                    choices.append((number, cost))
        rows.append(choices)
    columns = assign(rows, MAX_COST)
    return [(track, column) for track, column in zip(left, columns, strict=True) if column is not None]


def _cost(track: Filter, seen: Measured) -> float:
    """Return how unlikely it is that the object is found here: -2 ln of the density, without constants.

    It is the squared distance in variances, plus the logarithm of the area in which the object may be, in
    areas of the object. So a track that knows its place goes before one that could be anywhere.
    """
    x_x = track.x_x + seen.x_x
    off = seen.x - track.x
    distance = off * off / x_x
    if distance > MAX_DISTANCE:
        return MAX_COST
    y_y = track.y_y + seen.y_y
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


def _relabelled(
    tracks: Sequence[Track], left: Sequence[int], seen: Sequence[Measured], free: Sequence[int]
) -> list[Pair]:
    """Return the pairs that overlap most, at least SAME_PLACE, whatever their labels."""
    rows = []
    for track in left:
        expected = _box(tracks[track].filter)
        overlaps = [(number, overlap(expected, _box(seen[number]))) for number in free]
        rows.append([(number, -share) for number, share in overlaps if share >= SAME_PLACE])
    columns = assign(rows, 0.0)
    return [(track, column) for track, column in zip(left, columns, strict=True) if column is not None]


def _box(where: Filter | Measured) -> Box:
    across, down = 0.5 * where.width, 0.5 * where.height
    return (where.x - across, where.y - down, where.x + across, where.y + down)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0.0 or down <= 0.0:
        return 0.0
    shared = across * down
    return shared / (
        (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1]) - shared
    )
