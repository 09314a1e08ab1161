"""Decoded frames as pictures, converted to grayscale or BGR only when a detector asks."""

from typing import Literal

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter

from ..domain.picture import Image

_PLANAR = frozenset(["yuv420p", "yuv422p", "yuv440p", "yuv444p"])
_PLANAR_FULL_RANGE = frozenset(["yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p"])
_LUMA_FIRST = _PLANAR | _PLANAR_FULL_RANGE | {"gray", "nv12", "nv21", "yuv410p", "yuv411p", "yuva420p"}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_ROTATIONS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


class AvPicture:
    """A `Picture` of a PyAV frame, rotated as the recording says. Thread safe."""

    def __init__(self, frame: av.VideoFrame, *, rotation: int | None = None) -> None:
        """`rotation` is in degrees; without it, the frame's own is used."""
        self.frame = frame
        self._format = frame.format.name
        self._full_range = self._format in _PLANAR_FULL_RANGE or (
            self._format in _PLANAR and frame.color_range == _FULL_RANGE
        )
        self.rotation = frame.rotation if rotation is None else rotation
        self._angle = round(self.rotation / 90) * 90 % 360
        swaps_sides = self._angle in (90, 270)
        self.width = frame.height if swaps_sides else frame.width
        self.height = frame.width if swaps_sides else frame.height

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        """Return the luma, shape (height, width) uint8: a read-only view of the frame if that is possible.

        `size` is (width, height).
        """
        if self._format in _LUMA_FIRST and (luma := self._plane(0)) is not None:
            image = luma
        else:
            image = self._converted("gray")
        return self._rotated(_resized(image, self._size_before_rotation(size)))

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        """Return the picture as BGR, shape (height, width, 3) uint8. `size` is (width, height)."""
        width, height = target = self._size_before_rotation(size)
        image = None
        if self._full_range and target != (self.frame.width, self.frame.height):
            image = self._from_full_range(target)
        elif self._format == "yuv420p" and not self._full_range and width % 2 == 0 and height % 2 == 0:
            image = self._from_planes(width, height)
        if image is None:
            image = _resized(self._converted("bgr24"), target)
        return self._rotated(image)

    def _from_planes(self, width: int, height: int) -> Image | None:
        """Resize the planes, then convert them: much less work than converting first when shrinking.

        Returns None if the rows of a plane are stored bottom-up.
        """
        planes = np.empty((height * 3 // 2, width), np.uint8)
        blue, red = planes[height:].reshape(2, height // 2, width // 2)
        for number, target in enumerate((planes[:height], blue, red)):
            source = self._plane(number)
            if source is None:
                return None
            _resize_into(target, source)
        return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)

    def _from_full_range(self, size: tuple[int, int]) -> Image | None:
        views = [self._plane(number) for number in (0, 2, 1)]
        planes = [_resized(view, size) for view in views if view is not None]
        if len(planes) < len(views):
            return None
        return np.asarray(cv2.cvtColor(cv2.merge(planes), cv2.COLOR_YCrCb2BGR), np.uint8)

    def _converted(self, format: Literal["gray", "bgr24"]) -> Image:  # noqa: A002 - PyAV's name for it
        # The frame's own reformatter is not thread safe.
        frame = VideoReformatter().reformat(self._frame_with_pixels(), format=format, threads=1)
        return np.asarray(frame.to_ndarray(), np.uint8)

    def _plane(self, number: int) -> Image | None:
        """Return a read-only view of a plane without padding, None if its rows are stored bottom-up."""
        plane: VideoPlane = self.frame.planes[number]
        if plane.line_size <= 0:
            return None
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        view: Image = rows[: plane.height, : plane.width]
        view.flags.writeable = False
        return view

    def _frame_with_pixels(self) -> av.VideoFrame:
        """Return the frame. A subclass whose pixels lie elsewhere copies them into it."""
        return self.frame

    def _size_before_rotation(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Return the size that the unrotated frame must have, as (width, height)."""
        width, height = size or (self.width, self.height)
        return (width, height) if self._angle in (0, 180) else (height, width)

    def _rotated(self, image: Image) -> Image:
        if self._angle:
            image = np.asarray(cv2.rotate(image, _ROTATIONS[self._angle]), np.uint8)
        return image


def _resized(image: Image, size: tuple[int, int]) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    target = np.empty((size[1], size[0], *image.shape[2:]), np.uint8)
    _resize_into(target, image)
    return target


def _resize_into(target: Image, image: Image) -> None:
    height, width = target.shape[:2]
    # Halving is fast: a quarter in one step takes six times as long as in two, a sixth twice as long.
    while (
        image.shape[0] >= 4 * height
        and image.shape[1] >= 4 * width
        and not (image.shape[0] | image.shape[1]) % 2
    ):
        half = image.shape[1] // 2, image.shape[0] // 2
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    if image.shape == target.shape:
        np.copyto(target, image)
        return
    is_shrinking = width <= image.shape[1] and height <= image.shape[0]
    interpolation = cv2.INTER_AREA if is_shrinking else cv2.INTER_LINEAR
    cv2.resize(image, (width, height), dst=target, interpolation=interpolation)
