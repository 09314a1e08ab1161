"""Turn luma and colour difference into BGR by the matrix and range that a stream declares.

The formulas are those of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance), and of ITU-T H.273 for
the other matrices.
"""

from functools import cache

import av
import cv2
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..domain.picture import Image
from .hdr import HDR_WHITE, HLG, PQ, tone_map
from .resizing import Samples

# Codes of ITU-T H.273, as FFmpeg uses them.
_FULL_RANGE = 2  # of FFmpeg's AVColorRange
_LIMITED_RANGE = 1
_BT709, _UNSPECIFIED, _FCC, _BT470BG, _SMPTE170M, _SMPTE240M, _YCGCO, _BT2020_NCL, _BT2020_CL = (
    1, 2, 4, 5, 6, 7, 8, 9, 10,
)  # fmt: skip
_RGB, _RESERVED = 0, 3
_DERIVED = (12, 13)  # the matrix follows from the primaries

_LUMA_WEIGHTS = {  # of red and blue
    _BT709: (0.2126, 0.0722),
    _FCC: (0.30, 0.11),
    _BT470BG: (0.299, 0.114),
    _SMPTE170M: (0.299, 0.114),
    _SMPTE240M: (0.212, 0.087),
    _BT2020_NCL: (0.2627, 0.0593),
    _BT2020_CL: (0.2627, 0.0593),
}
_HD_WIDTH, _HD_HEIGHT = 1280, 720  # from which an unspecified matrix is BT.709

_FIXED_POINT = 1024  # OpenCV multiplies samples of 8 bits by whole multiples of 1 / 1024

Matrix = NDArray[np.float64]


class Colours(Struct, frozen=True):
    """How the samples of a frame are to be read. Matrix, transfer and primaries are codes of ITU-T H.273."""

    matrix: int
    is_full_range: bool
    bits: int
    transfer: int
    primaries: int

    @property
    def is_hdr(self) -> bool:
        """Whether the picture has a high dynamic range, which is reduced."""
        return self.transfer in (PQ, HLG)


def is_matrix_supported(frame: av.VideoFrame) -> bool:
    """Return whether the frame's matrix is unspecified or one that is followed."""
    return int(frame.colorspace) in {*_LUMA_WEIGHTS, _RGB, _UNSPECIFIED, _RESERVED, _YCGCO, *_DERIVED}


def colours_of(frame: av.VideoFrame, bits: int, *, is_full_range: bool) -> Colours:
    """Return how to read the frame's samples, which have so many bits; the range counts if none is declared.

    An unspecified matrix is BT.709 from 720 lines or 1280 columns up, and BT.601 below.
    """
    matrix = int(frame.colorspace)
    if matrix in _DERIVED:
        matrix = int(frame.color_primaries)  # the codes are the same for the primaries that have a matrix
    if matrix not in _LUMA_WEIGHTS and matrix != _YCGCO:
        is_hd = frame.width >= _HD_WIDTH or frame.height >= _HD_HEIGHT
        matrix = _BT709 if is_hd else _SMPTE170M
    declared = int(frame.color_range)
    return Colours(
        matrix,
        declared == _FULL_RANGE or (is_full_range and declared != _LIMITED_RANGE),
        bits,
        int(frame.color_trc),
        int(frame.color_primaries),
    )


@cache
def bgr_matrix(colours: Colours, white: int = 255) -> Matrix:
    """Return the 3x4 matrix that takes (luma, blue and red difference, 1) to BGR from 0 to `white`."""
    if colours.matrix == _YCGCO:  # its differences are green's and orange's
        by_colour = np.array([[1.0, -1.0, -1.0], [1.0, 1.0, 0.0], [1.0, -1.0, 1.0]])
    else:
        red, blue = _LUMA_WEIGHTS[colours.matrix]
        green = 1 - red - blue
        by_colour = np.array(
            [
                [1.0, 2 * (1 - blue), 0.0],
                [1.0, -2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green],
                [1.0, 0.0, 2 * (1 - red)],
            ]
        )
    black, luma, difference = _levels(colours)
    by_sample = by_colour * white / (luma, difference, difference)
    if (
        colours.bits == 8 and white == 255
    ):  # round before the offset is computed, so that gray stays exactly gray
        by_sample = np.round(by_sample * _FIXED_POINT) / _FIXED_POINT
    middle = 1 << (colours.bits - 1)
    offset = -by_sample @ (black, middle, middle)
    return np.column_stack([by_sample, offset])


def bgr(luma: Samples, blue: Samples, red: Samples, colours: Colours) -> Image:
    """Return BGR, shape (height, width, 3). Subsampled colour differences are repeated."""
    matrix = bgr_matrix(colours)
    if colours.is_hdr:
        matrix = bgr_matrix(colours, HDR_WHITE)
        luma, blue, red = (np.asarray(samples, np.uint16) for samples in (luma, blue, red))
    height, width = luma.shape
    if blue.shape[1] < width:
        blue, red = (_repeat_columns(samples, width) for samples in (blue, red))
    if blue.shape[0] == height:
        pixels = cv2.transform(cv2.merge([luma, blue, red]), matrix)
    else:
        pixels = np.empty((height, width, 3), luma.dtype)
        for first in (0, 1):  # two lines of luma share a line of colour differences
            lines = luma[first::2]
            if count := lines.shape[0]:
                cv2.transform(cv2.merge([lines, blue[:count], red[:count]]), matrix, pixels[first::2])
    if colours.is_hdr:
        return tone_map(np.asarray(pixels, np.uint16), colours.transfer, colours.primaries)
    return np.asarray(pixels if colours.bits == 8 else cv2.convertScaleAbs(pixels), np.uint8)


def gray(luma: Samples, colours: Colours) -> Image:
    """Return the brightness, where black is 0 and white is 255: the luma itself if it is that already."""
    if colours.bits == 8 and colours.is_full_range and not colours.is_hdr:
        return np.asarray(luma, np.uint8)
    black, scale, _ = _levels(colours)
    if colours.is_hdr:
        factor = HDR_WHITE / scale
        codes = cv2.addWeighted(luma, factor, luma, 0, -black * factor, dtype=cv2.CV_16U)
        pixels = cv2.merge([codes, codes, codes])
        return tone_map(np.asarray(pixels, np.uint16), colours.transfer, colours.primaries)[:, :, 0]
    factor = 255 / scale
    return np.asarray(cv2.addWeighted(luma, factor, luma, 0, -black * factor, dtype=cv2.CV_8U), np.uint8)


def _levels(colours: Colours) -> tuple[int, int, int]:
    """Return the sample that is black, and how many levels luma and colour differences have."""
    if colours.is_full_range:
        highest = (1 << colours.bits) - 1
        return 0, highest, highest
    unit = 1 << (colours.bits - 8)
    return 16 * unit, 219 * unit, 224 * unit


def _repeat_columns(samples: Samples, width: int) -> Samples:
    """Return every column twice, as many as `width`."""
    height = samples.shape[0]
    return cv2.merge([samples, samples]).reshape(height, -1)[:, :width]  # type: ignore[return-value]
