"""Decoded frames as pictures, converted to grayscale or BGR only when a detector asks."""

from ctypes import string_at

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

from ..domain.picture import Image
from . import colours
from .hdr import HDR_WHITE, tone_map
from .layouts import layout_of
from .orientation import AS_STORED, Orientation, orientation_of
from .resizing import Samples, resized

_BT709_LUMA = np.array([[0.0722, 0.7152, 0.2126]])  # of blue, green and red


class AvPicture:
    """A `Picture` of a PyAV frame, turned and mirrored as the recording says. Thread safe."""

    def __init__(self, frame: av.VideoFrame, *, orientation: Orientation | None = None) -> None:
        """Without an `orientation`, the frame's own is used; as stored, if it is none of the eight."""
        self.frame = frame
        self._layout = layout_of(frame.format.name)
        self._colours = colours.colours_of(frame, self._layout.bits, is_full_range=self._layout.is_full_range)
        self.orientation = orientation or orientation_of(frame) or AS_STORED
        self.width, self.height = self._as_stored((frame.width, frame.height))

    def gray(self, size: tuple[int, int] | None = None) -> Image:
        """Return the brightness, shape (height, width) uint8: 0 is black, 255 is white.

        `size` is (width, height). It is a read-only view of the frame if the frame holds just that.
        """
        target = self._as_stored(size or (self.width, self.height))
        if self._colours.is_hdr and not self._layout.is_gray:
            image = np.asarray(cv2.transform(self._stored_bgr(target), _BT709_LUMA), np.uint8)
        elif self._layout.planar is None:
            image = np.asarray(cv2.cvtColor(self._stored_bgr(target), cv2.COLOR_BGR2GRAY), np.uint8)
        else:
            image = colours.gray(resized(self._planes()[0], target), self._colours)
        return self.orientation.apply(image)

    def bgr(self, size: tuple[int, int] | None = None) -> Image:
        """Return the picture as BGR, shape (height, width, 3) uint8. `size` is (width, height)."""
        size = size or (self.width, self.height)
        return self.orientation.apply(self._stored_bgr(self._as_stored(size)))

    def _stored_bgr(self, size: tuple[int, int]) -> Image:
        """Resize the planes, then convert them: much less work than converting first when shrinking."""
        if self._layout.planar is None and self._colours.is_hdr:
            codes = np.asarray(resized(self._rgb_codes(), size), np.uint16)
            return tone_map(codes, self._colours.transfer, self._colours.primaries)
        if self._layout.planar is None:
            pixels = self._reformatted("bgr24").to_ndarray()
            return np.asarray(resized(np.asarray(pixels, np.uint8), size), np.uint8)
        luma, *differences = self._planes()
        luma = resized(luma, size)
        if self._layout.is_gray:
            return np.asarray(cv2.cvtColor(colours.gray(luma, self._colours), cv2.COLOR_GRAY2BGR), np.uint8)
        blue, red = (resized(plane, self._size_of_differences(plane, size)) for plane in differences)
        return colours.bgr(luma, blue, red, self._colours)

    def _rgb_codes(self) -> NDArray[np.uint16]:
        """Return the BGR of an RGB frame with all its bits, where 65535 is 1."""
        most = max(component.bits for component in self.frame.format.components)
        bits = next((supported for supported in (8, 10, 12, 14) if most <= supported), 16)
        # Planar RGB of the same bits, because FFmpeg converts others less exactly.
        rgb = self._reformatted("gbrp" if bits == 8 else f"gbrp{bits}le").to_ndarray()
        return np.asarray(np.round(rgb[:, :, ::-1] * (HDR_WHITE / ((1 << bits) - 1))), np.uint16)

    def _size_of_differences(self, plane: Samples, size: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) to which a plane of colour differences is resized: `size`, or half of it.

        A subsampled plane is not made larger than it must be if the picture shrinks: that would cost more.
        """
        height, width = plane.shape
        is_resized = size != (self.frame.width, self.frame.height)
        if is_resized and width <= size[0] and height <= size[1]:
            return size
        return (
            size[0] if width == self.frame.width else (size[0] + 1) // 2,
            size[1] if height == self.frame.height else (size[1] + 1) // 2,
        )

    def _planes(self) -> list[Samples]:
        """Return the luma, and unless the frame is gray, the blue and red difference, read-only."""
        frame = self.frame
        if self._layout.planar != frame.format.name:
            frame = self._reformatted(self._layout.planar)
            rows = [rows_of(plane) for plane in frame.planes[:3]]
        else:
            rows = [self._rows(number) for number in range(1 if self._layout.is_gray else 3)]
        return [self._samples(*of_plane) for of_plane in zip(rows, frame.planes, strict=False)]

    def _samples(self, rows: Image, plane: VideoPlane) -> Samples:
        samples = (rows if self._layout.bits == 8 else rows.view("<u2"))[: plane.height, : plane.width]
        if samples.shape != (plane.height, plane.width):
            raise ValueError("a plane of the picture is smaller than its format says")
        samples.flags.writeable = False
        return samples

    def _reformatted(self, format: str | None) -> av.VideoFrame:  # noqa: A002 - PyAV's name for it
        # The frame's own reformatter is not thread safe. One colour space for both: none is converted.
        same = Colorspace.ITU709
        return VideoReformatter().reformat(
            self._frame_with_pixels(), format=format, src_colorspace=same, dst_colorspace=same, threads=1
        )

    def _rows(self, number: int) -> Image:
        """Return the bytes of a plane, padding included, one row for each of its rows."""
        return rows_of(self.frame.planes[number])

    def _frame_with_pixels(self) -> av.VideoFrame:
        """Return the frame. A subclass whose pixels lie elsewhere copies them into it."""
        return self.frame

    def _as_stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) of the stored picture for those of the shown one, and vice versa."""
        return size[::-1] if self.orientation.swaps_sides else size


def rows_of(plane: VideoPlane) -> Image:
    """Return the bytes of a plane, padding included, one row for each of its rows."""
    if plane.line_size < 0:  # stored upwards
        lines = (
            string_at(plane.buffer_ptr + n * plane.line_size, -plane.line_size) for n in range(plane.height)
        )
        return np.frombuffer(b"".join(lines), np.uint8).reshape(plane.height, -1)
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
