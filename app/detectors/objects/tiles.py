"""Parts of a picture, in which small objects are larger for a network with a small input."""

from collections.abc import Iterator

from msgspec import Struct

from ...domain.picture import Picture
from ..base import RawDetection
from ..image_picture import ImagePicture

OVERLAP = 0.25  # of a tile's side: smaller objects are whole in one of the tiles
_CUT = 0.02  # of a tile's side: what reaches so near to an inner edge is cut off there


class Tile(Struct, frozen=True):
    """A part of a picture whose width and height are `full`. `factor` is the picture's size over that."""

    picture: ImagePicture
    left: int
    top: int
    full: tuple[int, int]
    factor: tuple[float, float]

    def in_picture(self, found: RawDetection) -> RawDetection | None:
        """Return what was found in the tile in pixels of the picture; None if the tile cuts it off."""
        width, height = self.picture.width, self.picture.height
        if (
            (self.left > 0 and found.x1 < _CUT * width)
            or (self.top > 0 and found.y1 < _CUT * height)
            or (self.left + width < self.full[0] and found.x2 > (1 - _CUT) * width)
            or (self.top + height < self.full[1] and found.y2 > (1 - _CUT) * height)
        ):
            return None
        across, down = self.factor
        return found._replace(
            x1=(found.x1 + self.left) * across,
            y1=(found.y1 + self.top) * down,
            x2=(found.x2 + self.left) * across,
            y2=(found.y2 + self.top) * down,
        )


def tiles_of(picture: Picture, count: int, side: int) -> Iterator[Tile]:
    """Yield `count` × `count` overlapping parts, scaled so that the longer side of each is `side`."""
    shares = count - (count - 1) * OVERLAP  # of the picture's side in a tile's
    scale = side * shares / max(picture.width, picture.height)
    full = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    image = picture.bgr(full)
    width, height = (min(side, max(1, round(each / shares))) for each in full)
    factor = picture.width / full[0], picture.height / full[1]
    for top in _starts(full[1], height, count):
        for left in _starts(full[0], width, count):
            part = ImagePicture(image[top : top + height, left : left + width])
            yield Tile(part, left, top, full, factor)


def _starts(full: int, part: int, count: int) -> list[int]:
    """Return where `count` equally spaced parts of a side begin; the last one ends with the side."""
    return [round(number * (full - part) / (count - 1)) for number in range(count)]
