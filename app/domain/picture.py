"""A decoded frame as detectors see it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class Picture(Protocol):
    """One decoded frame. Each conversion is made when it is asked for, in the calling thread."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        """Return brightness (0: black), shape (height, width), scaled to `size` (width, height)."""

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        """Return the colours, shape (height, width, 3), blue first, scaled to `size` (width, height)."""
