"""Which way up a frame is shown, from its display matrix: one of eight orientations."""

import math

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type
from msgspec import Struct

from ..domain.media import Turn
from ..domain.picture import Image

_TURNS: dict[tuple[int, int], Turn] = {(1, 0): 0, (0, 1): 90, (-1, 0): 180, (0, -1): 270}
_CODES: dict[Turn, int] = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
_TOLERANCE = math.sin(math.radians(1))  # FFmpeg's players do not turn by less than a degree either

# PyAV cannot list the side data of a frame if it does not know one of the kinds, such as EXIF's.
Type._missing_ = classmethod(lambda cls, _: cls.SEI_UNREGISTERED)  # type: ignore[method-assign,assignment]


class Orientation(Struct, frozen=True, array_like=True):
    """How a stored picture becomes the shown one: mirrored left to right, then turned clockwise."""

    turn: Turn = 0
    is_mirrored: bool = False

    def apply(self, image: Image) -> Image:
        """Return the image as it is shown."""
        if self.is_mirrored:
            image = np.asarray(cv2.flip(image, 1), np.uint8)
        if self.turn:
            image = np.asarray(cv2.rotate(image, _CODES[self.turn]), np.uint8)
        return image

    @property
    def swaps_sides(self) -> bool:
        """Whether the shown picture is as wide as the stored one is high."""
        return self.turn in (90, 270)


AS_STORED = Orientation()


def orientation_of(frame: av.VideoFrame) -> Orientation | None:
    """Return how a frame is shown, None if its display matrix is none of the eight orientations."""
    # `frame.side_data` refers back to the frame, which would keep its memory until garbage is collected.
    found = SideDataContainer(frame)  # type: ignore[call-arg]
    data = found.get(Type.DISPLAYMATRIX) if len(found) else None
    if data is None:
        return AS_STORED
    # A point (x, y) of the stored picture is shown at (a·x + c·y, b·x + d·y), apart from a shift.
    a, b, _, c, d = (float(number) for number in np.frombuffer(data, np.int32, 5))
    width, height = math.hypot(a, b), math.hypot(c, d)
    if not width or not height:
        return None
    a, b, c, d = a / width, b / width, c / height, d / height
    if min(abs(a), abs(b)) > _TOLERANCE or min(abs(c), abs(d)) > _TOLERANCE:
        return None
    determinant = round(a) * round(d) - round(b) * round(c)
    if not determinant:
        return None
    is_mirrored = determinant < 0
    sign = -1 if is_mirrored else 1
    return Orientation(_TURNS[sign * round(a), sign * round(b)], is_mirrored)
