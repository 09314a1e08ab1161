"""A picture made from an array, for tests of detectors."""

import cv2
import numpy as np

from app.domain.picture import Image


class ArrayPicture:
    """A `Picture` over a BGR array of shape (height, width, 3), or a gray one of shape (height, width)."""

    def __init__(self, image: Image) -> None:
        self.height, self.width = image.shape[:2]
        self._bgr = image if image.ndim == 3 else _image(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))
        self._gray = image if image.ndim == 2 else _image(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        return _resized(self._gray, size)

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        return _resized(self._bgr, size)


def plain(width: int = 640, height: int = 360, value: int = 200) -> Image:
    """A gray image of one brightness."""
    return np.full((height, width), value, np.uint8)


def person(height: int) -> Image:
    """A standing figure seen from the front, half as wide as high, dark on 200."""
    tall, wide = height * 4, height * 2
    image = plain(wide, tall)
    cv2.ellipse(image, _at(wide, tall, 0.5, 0.16), _at(wide, tall, 0.10, 0.065), 0, 0, 360, (60,), -1)
    body = [(0.30, 0.25), (0.44, 0.22), (0.56, 0.22), (0.70, 0.25), (0.73, 0.52), (0.66, 0.53), (0.64, 0.34)]
    body += [(0.63, 0.55), (0.62, 0.88), (0.53, 0.88), (0.50, 0.60), (0.47, 0.88), (0.38, 0.88), (0.37, 0.55)]
    body += [(0.36, 0.34), (0.34, 0.53), (0.27, 0.52)]
    cv2.fillPoly(image, [np.array([_at(wide, tall, x, y) for x, y in body])], (60,))
    return _resized(image, (wide // 4, tall // 4))


PERSON_BOX = (0.27, 0.095, 0.73, 0.88)  # of the figure within its image


def face(side: int) -> Image:
    """A drawn face, seen from the front, as large as its square image, on 120."""
    size = side * 4
    image = plain(size, size, 120)
    for x, y, across, down, value in (
        (0.50, 0.45, 0.40, 0.48, 50),  # hair
        (0.50, 0.52, 0.33, 0.42, 190),  # skin
        (0.36, 0.42, 0.10, 0.045, 110),  # sockets
        (0.64, 0.42, 0.10, 0.045, 110),
        (0.36, 0.37, 0.11, 0.022, 70),  # brows
        (0.64, 0.37, 0.11, 0.022, 70),
        (0.36, 0.44, 0.07, 0.03, 60),  # eyes
        (0.64, 0.44, 0.07, 0.03, 60),
        (0.50, 0.55, 0.035, 0.12, 215),  # nose
        (0.45, 0.66, 0.025, 0.015, 110),
        (0.55, 0.66, 0.025, 0.015, 110),
        (0.50, 0.78, 0.13, 0.03, 90),  # mouth
        (0.30, 0.62, 0.07, 0.06, 205),  # cheeks
        (0.70, 0.62, 0.07, 0.06, 205),
    ):
        cv2.ellipse(image, _at(size, size, x, y), _at(size, size, across, down), 0, 0, 360, (value,), -1)
    return _resized(_image(cv2.GaussianBlur(image, (0, 0), size * 0.015)), (side, side))


def paste(image: Image, part: Image, x: int, y: int) -> None:
    """Draw `part` onto `image` with its corner at (x, y)."""
    height, width = part.shape[:2]
    image[y : y + height, x : x + width] = part


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, across) * max(0.0, down)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def _at(width: int, height: int, x: float, y: float) -> tuple[int, int]:
    return int(x * width), int(y * height)


def _resized(image: Image, size: tuple[int, int] | None) -> Image:
    return image if size is None else _image(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _image(array: object) -> Image:
    return np.asarray(array, np.uint8)


def road(width: int, height: int, *signs: tuple[int, int, int]) -> Image:
    """Return a sky and a road, with stop signs at (x, y, side)."""
    image = np.repeat(np.linspace(200, 90, height)[:, None, None], 3, 2).repeat(width, 1).astype(np.uint8)
    image[..., 0] += 25
    image[height * 3 // 4 :] = (95, 95, 100)
    for x, y, side in signs:
        paste(image, stop_sign(side), x, y)
        middle, half = x + side // 2, max(1, side // 30)
        image[y + side :, middle - half : middle + half] = 120
    return image


def stop_sign(side: int) -> Image:
    """Return a red octagon with a white edge and the word STOP, on a sky."""
    large = side * 4
    image = np.full((large, large, 3), (150, 170, 160), np.uint8)
    angles = np.pi / 8 + np.arange(8) * np.pi / 4
    for radius, colour in ((0.47, (245, 245, 245)), (0.437, (30, 20, 190))):
        corners = large * (0.5 + radius * np.column_stack((np.cos(angles), np.sin(angles))))
        cv2.fillPoly(image, [corners.astype(np.int32)], colour)
    font, thick = cv2.FONT_HERSHEY_DUPLEX, max(1, round(large * 0.035))
    (width, height), _ = cv2.getTextSize("STOP", font, 1, 1)
    size = large * 0.66 / width
    corner = round(large / 2 - width * size / 2), round(large / 2 + height * size / 2)
    cv2.putText(image, "STOP", corner, font, size, (245, 245, 245), thick, cv2.LINE_AA)
    return _image(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA))
