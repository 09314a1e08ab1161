"""What a detector looks at: one decoded frame, converted when asked."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class Picture(Protocol):
    """One decoded frame. Conversions are made when asked for, in the thread that asks."""

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        """Brightness, shape (height, width), at `size` (width, height) where given. Not to be written to."""

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        """Colour, shape (height, width, 3), blue first, at `size` (width, height) where given."""
