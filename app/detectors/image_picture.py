"""Pictures that are not decoded from a video: a file in a request, and a part of another picture."""

import cv2
import numpy as np

from ..domain.picture import Image


class ImagePicture:
    """A `Picture` of an upright image, shape (height, width, 3), blue first."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self.height, self.width = image.shape[:2]

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        """Return brightness, shape (height, width)."""
        return np.asarray(cv2.cvtColor(self.bgr(size), cv2.COLOR_BGR2GRAY), np.uint8)

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        """Return the colours, blue first, shape (height, width, 3)."""
        if size is None or size == (self.width, self.height):
            return self._image
        kernel = cv2.INTER_AREA if size[0] < self.width else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(self._image, size, interpolation=kernel), np.uint8)
