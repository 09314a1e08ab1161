"""How a picture becomes a network's input, and where a box in the input is in the picture."""

from typing import Any, NamedTuple

import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ...domain.model_input import Colours, Fit
from ...domain.picture import Image, Picture
from .candidates import Floats

GRAY = 114.0  # the level around pictures in the training of YOLO networks


class PictureFormat(Struct, frozen=True, kw_only=True):
    """What a network takes: a tensor `name` of `batch` pictures of `height` × `width`.

    A colour's value is (level · range / 255 − mean) / std, for levels from 0 to 255, with `mean` and `std` in
    the order of `colours`. If `has_dynamic_shape`, smaller sides in multiples of `stride` are taken, too.
    """

    name: str
    dtype: str = "float32"
    height: int
    width: int
    batch: int = 1
    has_batch_axis: bool = True
    is_channels_last: bool = False
    has_dynamic_shape: bool = False
    stride: int = 32
    fit: Fit = "letterbox"
    colours: Colours = "rgb"
    range: float = 1
    mean: tuple[float, float, float] = (0, 0, 0)
    std: tuple[float, float, float] = (1, 1, 1)
    padding: float = GRAY

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


class ScaledPicture(NamedTuple):
    """A picture as a network's input. A box in it is `(box - offset) * factor` in the picture."""

    pixels: NDArray[Any]  # the input tensor
    size: tuple[int, int]  # its height and width
    offset: Floats  # left, top, left, top
    factor: Floats


class PictureScaler:
    """Makes one thread's input tensors. The buffer is reused between frames because allocation is slow."""

    def __init__(self, form: PictureFormat) -> None:
        self._form = form
        self._factors = [np.float32(form.range / 255 / std) for std in form.std]
        self._offsets = [np.float32(-mean / std) for mean, std in zip(form.mean, form.std, strict=True)]
        self._size = (0, 0)
        self._pixels: NDArray[Any] = np.empty(0)

    def scale(self, picture: Picture) -> ScaledPicture:
        """Return the picture as input. The next call overwrites it."""
        width, height = self._scaled_size(picture)
        if self._size != (width, height):
            self._pixels, self._size = self._empty(height, width), (width, height)
        canvas = self._first(self._pixels)
        _, down, across = canvas.shape
        image = picture.bgr((width, height))
        top, left = (down - height) // 2, (across - width) // 2
        if self._form.fit == "pad":
            top = left = 0
        elif self._form.fit == "crop":
            image = image[-top : -top + down, -left : -left + across]
        planes = canvas[:, max(0, top) : max(0, top) + height, max(0, left) : max(0, left) + width]
        self._fill(planes, image)
        across_factor, down_factor = picture.width / width, picture.height / height
        return ScaledPicture(
            self._pixels,
            (down, across),
            np.array((left, top, left, top), np.float32),
            np.array((across_factor, down_factor) * 2, np.float32),
        )

    def _scaled_size(self, picture: Picture) -> tuple[int, int]:
        """Return width and height of the picture within the input, or beyond it if it will be cropped."""
        form = self._form
        if form.fit == "stretch":
            return form.width, form.height
        choose = max if form.fit == "crop" else min
        factor = choose(form.width / picture.width, form.height / picture.height)
        return max(1, round(picture.width * factor)), max(1, round(picture.height * factor))

    def _empty(self, height: int, width: int) -> NDArray[Any]:
        """Return an input of nothing but padding for a picture of this size.

        A dynamic shape is no larger than needed: for 16:9, 60 % of the square.
        """
        form = self._form
        if form.has_dynamic_shape and form.fit in ("letterbox", "pad"):
            height, width = (-(-side // form.stride) * form.stride for side in (height, width))
        else:
            height, width = form.size
        shape = (height, width, 3) if form.is_channels_last else (3, height, width)
        pixels = np.empty((form.batch, *shape) if form.has_batch_axis else shape, form.dtype)
        planes = pixels if form.has_batch_axis else pixels[None]
        for plane, factor, offset in zip(
            np.moveaxis(planes, -1 if form.is_channels_last else 1, 0),
            self._factors,
            self._offsets,
            strict=True,
        ):
            plane[...] = np.float32(form.padding) * factor + offset
        return pixels

    def _first(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return a view of the first picture, of shape (3, height, width)."""
        first = pixels[0] if self._form.has_batch_axis else pixels
        return first.transpose(2, 0, 1) if self._form.is_channels_last else first

    def _fill(self, planes: NDArray[Any], image: Image) -> None:
        channels = cv2.split(image)
        if self._form.colours == "rgb":
            channels = channels[::-1]
        for plane, channel, factor, offset in zip(
            planes, channels, self._factors, self._offsets, strict=True
        ):
            if planes.dtype == np.uint8:
                plane[...] = channel
                continue
            np.multiply(channel, factor, out=plane)
            if offset:
                np.add(plane, offset, out=plane)
