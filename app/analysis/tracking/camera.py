"""Notice that the whole picture moved, by what the objects in it have in common.

A camera in the wind moves all objects alike, and by more than they walk between two frames.
"""

from collections.abc import Sequence

from ...domain.prediction import Detection
from .kalman import Measured
from .state import Swing, Track

LEAST_TRACKS = 3
"""Objects that must be found near their places before they tell anything of the camera."""
MOST_TRACKS = 32
"""Objects that are asked at most; more tell no more."""
REACH = 1.0
"""How far from its place an object is looked for, in its sizes."""
MEMORY = 0.2
"""Weight of a new frame in the mean square of the movement."""
MEDIAN_ERROR = 1.57
"""Variance of a median, if that of the mean is 1: π / 2."""


def follow_camera(
    swing: Swing,
    tracks: Sequence[Track],
    detections: Sequence[Detection],
    seen: Sequence[Measured],
    confident: Sequence[int],
) -> None:
    """Move all tracks as the picture has moved. The filters must be predicted.

    `confident`: the indexes of the detections that may tell it.

    The movement is the median of how far confirmed objects are from where they should be. As much of it is
    believed as is usual lately, beyond the median's error: next to nothing if the camera stands still.
    """
    if len(tracks) < LEAST_TRACKS:
        return
    of_label: dict[str, list[Measured]] = {}
    for number in confident:
        label = detections[number].label
        if label in of_label:
            of_label[label].append(seen[number])
        else:
            of_label[label] = [seen[number]]
    across: list[float] = []
    down: list[float] = []
    x_x = y_y = 0.0
    for track in tracks:
        if track.track_id is None or track.missed or len(across) == MOST_TRACKS:
            continue
        found = of_label.get(track.label)
        if found is None:
            continue
        motion = track.filter
        middle_x, middle_y = motion.x, motion.y
        least, nearest = REACH * REACH * motion.width * motion.height, None
        for one in found:
            off_x, off_y = one[0] - middle_x, one[1] - middle_y
            distance = off_x * off_x + off_y * off_y
            if distance < least:
                least, nearest = distance, one
        if nearest is not None:
            across.append(nearest[0] - middle_x)
            down.append(nearest[1] - middle_y)
            x_x += motion.x_x + nearest[4]
            y_y += motion.y_y + nearest[5]
    count = len(across)
    if count < LEAST_TRACKS:
        return
    x, y = _median(across), _median(down)
    swing.x_x += MEMORY * (x * x - swing.x_x)
    swing.y_y += MEMORY * (y * y - swing.y_y)
    x *= _believed(swing.x_x, MEDIAN_ERROR * x_x / (count * count))
    y *= _believed(swing.y_y, MEDIAN_ERROR * y_y / (count * count))
    for track in tracks:
        track.filter.x += x
        track.filter.y += y


def scale_swing(swing: Swing, across: float, down: float) -> None:
    """Convert to a picture that is `across` times as wide and `down` times as high."""
    swing.x_x *= across * across
    swing.y_y *= down * down


def _believed(square: float, error: float) -> float:
    """Return which part of a movement is none of the median's error."""
    return (square - error) / square if square > error else 0.0


def _median(values: list[float]) -> float:
    values = sorted(values)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else 0.5 * (values[middle - 1] + values[middle])
