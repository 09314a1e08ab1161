"""A picture made from an array, for everything that looks at pictures."""

import cv2
import numpy as np

from app.runner.frames import Image


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


def _resized(image: Image, size: tuple[int, int] | None) -> Image:
    return image if size is None else _image(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _image(array: object) -> Image:
    return np.asarray(array, np.uint8)
