"""Kalman filter of a box: where an object is, how fast it moves, and how sure that is.

The middle of the box moves with nearly constant velocity, its width and height stay. Noise is uncorrelated
between these four, so the filter falls apart into two with two dimensions and two with one. Times are in
seconds and noise is in sizes of the object (the square root of the box's area), so that the same constants
fit all frame rates and distances.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ...domain.prediction import Box

# Standard deviations, chosen by the scenes of the tests (docs/tracking.md).
FIRST_SPEED = 2.0
"""Of the speed of an object that was seen once, in sizes per second."""
ACCELERATION = 0.8
"""How much the speed changes within a second, in sizes per second."""
SLOWING = 5.0
"""Seconds after which the velocity of an object that is not seen has halved."""
POSITION_ERROR = 0.07
"""Of the detected middle, in widths and heights."""
SIZE_ERROR = 0.10
"""Of the detected width and height, in widths and heights."""
SIZE_DRIFT = 0.4
"""How much width and height change within a second, in widths and heights."""

SMALLEST = 1.0
"""Boxes are taken to be at least this wide and high, in pixels."""


@dataclass(slots=True)
class Filter:
    """The state of a filter: position `x`, `y`, its velocity `vx`, `vy` (pixels, seconds), and size.

    The other fields are variances and covariances: `x_vx` is that of `x` and `vx`. Fields of a Struct take
    five times as long to set (measured: 2.5 µs for a frame with five objects).
    """

    x: float
    y: float
    width: float
    height: float
    x_x: float
    y_y: float
    width_width: float
    height_height: float
    vx_vx: float
    vy_vy: float
    vx: float = 0.0
    vy: float = 0.0
    x_vx: float = 0.0
    y_vy: float = 0.0


Measured = tuple[float, float, float, float, float, float, float, float]
"""A detected box as the filter takes it: x and y of its middle, width, height, and the variances of these.

A tuple, because it is taken apart several times in each frame, and that takes a third of the time so.
"""


def measure(box: Box) -> Measured:
    """Return the measurement that a detected box is."""
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    if width < SMALLEST:
        width = SMALLEST
    if height < SMALLEST:
        height = SMALLEST
    across, down = POSITION_ERROR * width, POSITION_ERROR * height
    wider, higher = SIZE_ERROR * width, SIZE_ERROR * height
    x, y = 0.5 * (x1 + x2), 0.5 * (y1 + y2)
    return x, y, width, height, across * across, down * down, wider * wider, higher * higher


def begin(seen: Measured) -> Filter:
    """Return the filter of an object that was seen once."""
    _, _, width, height, *_ = seen
    speed = FIRST_SPEED * FIRST_SPEED * width * height
    return Filter(*seen, speed, speed)


def predict(motions: Iterable[Filter], seconds: float) -> None:
    """Move filters on by `seconds`. The velocity decays, because what is not seen may have stopped."""
    kept = 1.0 / (1.0 + seconds / SLOWING)
    far, kept_twice = 0.5 * (1.0 + kept) * seconds, kept * kept
    half_time, square_time = 0.5 * seconds, seconds * seconds
    acceleration, drift = ACCELERATION * ACCELERATION, SIZE_DRIFT * SIZE_DRIFT * seconds
    for motion in motions:  # each field is read once, because that takes as long as a multiplication
        width, height = motion.width, motion.height
        noise = acceleration * (width * height) * seconds
        half, third = half_time * noise, square_time * noise / 3.0
        vx, x_vx, vx_vx = motion.vx, motion.x_vx, motion.vx_vx
        vy, y_vy, vy_vy = motion.vy, motion.y_vy, motion.vy_vy
        further, lower = far * vx_vx, far * vy_vy
        motion.x += far * vx
        motion.y += far * vy
        motion.x_x += far * (2.0 * x_vx + further) + third
        motion.y_y += far * (2.0 * y_vy + lower) + third
        motion.x_vx = kept * (x_vx + further) + half
        motion.y_vy = kept * (y_vy + lower) + half
        motion.vx = vx * kept
        motion.vy = vy * kept
        motion.vx_vx = kept_twice * vx_vx + noise
        motion.vy_vy = kept_twice * vy_vy + noise
        motion.width_width += drift * width * width
        motion.height_height += drift * height * height


def correct(motion: Filter, seen: Measured) -> None:
    """Take the measurement into the filter."""
    x, y, wide, high, error_x, error_y, error_wide, error_high = seen
    place, x_x, x_vx = motion.x, motion.x_x, motion.x_vx
    share = 1.0 / (x_x + error_x)
    gain, faster = x_x * share, x_vx * share
    off = x - place
    motion.x = place + gain * off
    motion.vx += faster * off
    motion.vx_vx -= faster * x_vx
    motion.x_vx = x_vx - gain * x_vx
    motion.x_x = x_x - gain * x_x

    place, y_y, y_vy = motion.y, motion.y_y, motion.y_vy
    share = 1.0 / (y_y + error_y)
    gain, faster = y_y * share, y_vy * share
    off = y - place
    motion.y = place + gain * off
    motion.vy += faster * off
    motion.vy_vy -= faster * y_vy
    motion.y_vy = y_vy - gain * y_vy
    motion.y_y = y_y - gain * y_y

    width, width_width = motion.width, motion.width_width
    gain = width_width / (width_width + error_wide)
    width += gain * (wide - width)
    if width < SMALLEST:
        width = SMALLEST
    motion.width = width
    motion.width_width = width_width - gain * width_width

    height, height_height = motion.height, motion.height_height
    gain = height_height / (height_height + error_high)
    height += gain * (high - height)
    if height < SMALLEST:
        height = SMALLEST
    motion.height = height
    motion.height_height = height_height - gain * height_height


def rest(motion: Filter) -> None:
    """Forget the velocity, after a time in which nobody looked."""
    motion.vx = motion.vy = motion.x_vx = motion.y_vy = 0.0
    motion.vx_vx = motion.vy_vy = FIRST_SPEED * FIRST_SPEED * motion.width * motion.height


def scale(motion: Filter, across: float, down: float) -> None:
    """Convert the filter to a picture that is `across` times as wide and `down` times as high."""
    motion.x *= across
    motion.vx *= across
    motion.width = max(motion.width * across, SMALLEST)
    motion.y *= down
    motion.vy *= down
    motion.height = max(motion.height * down, SMALLEST)
    across, down = across * across, down * down
    motion.x_x *= across
    motion.x_vx *= across
    motion.vx_vx *= across
    motion.width_width *= across
    motion.y_y *= down
    motion.y_vy *= down
    motion.vy_vy *= down
    motion.height_height *= down
