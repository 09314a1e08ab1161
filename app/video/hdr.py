"""Reduce high dynamic range (PQ and HLG) to 8-bit BT.709, as a documented formula says.

1. Display light: the EOTF of SMPTE ST 2084 (PQ), or the inverse OETF and the OOTF of ITU-R BT.2100 for a
   display of 1000 cd/m² (HLG).
2. Tone mapping: the EETF of ITU-R BT.2390, on red, green and blue each, from 1000 to 203 cd/m², which is
   white.
3. Colours: from BT.2020 to BT.709 by the linear matrix of ITU-R BT.2087; what lies outside is cut off.
4. The inverse EOTF of BT.1886, a power of 1 / 2.4.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from ..domain.picture import Image

PQ, HLG = 16, 18  # codes of ITU-T H.273
HDR_WHITE = 65535
"""The code of R'G'B' that is 1."""

_BT2020, _UNSPECIFIED = 9, 2
_PEAK, _WHITE = 1000.0, 203.0  # cd/m²: the brightest of the source, and what becomes 255 (ITU-R BT.2408)
_LUMA = np.array([[0.0593, 0.6780, 0.2627]])  # of blue, green and red
_TO_BT709 = np.array(  # of blue, green and red
    [
        [1.118730, -0.100579, -0.018151],
        [-0.008349, 1.132900, -0.124550],
        [-0.072850, -0.587641, 1.660491],
    ]
)

Levels = NDArray[np.float64]
_Codes = NDArray[np.uint16]
_Light = NDArray[np.float32]


def tone_map(pixels: _Codes, transfer: int, primaries: int) -> Image:
    """Return the 8-bit picture of nonlinear BGR, shape (height, width, 3), where 65535 is 1."""
    if transfer == PQ:
        light = _pq_table().take(pixels)
    else:
        scene = _hlg_table().take(pixels)
        gain = np.power(cv2.transform(scene, _LUMA), 0.2, dtype=np.float32)
        light = _eetf_table().take(_roots(scene * gain[:, :, None]))
    if primaries in (_BT2020, _UNSPECIFIED):
        light = np.asarray(cv2.transform(light, _TO_BT709), np.float32)
    return _output_table().take(_roots(light))


def _roots(light: _Light) -> _Codes:
    """Return light from 0 to 1 as codes for a table: its square root, which spares the dark ones."""
    return np.asarray(np.sqrt(np.clip(light, 0, 1)) * HDR_WHITE + 0.5, np.uint16)


def _codes() -> Levels:
    return np.arange(HDR_WHITE + 1) / HDR_WHITE


@cache
def _pq_table() -> _Light:
    """PQ code to light after the EETF, where 1 is white."""
    return np.asarray(_eetf(_pq_to_light(_codes())) / _WHITE, np.float32)


@cache
def _hlg_table() -> _Light:
    """HLG code to scene light, from 0 to 1."""
    a = 0.17883277
    b, c, codes = 1 - 4 * a, 0.5 - a * np.log(4 * a), _codes()
    return np.asarray(np.where(codes <= 0.5, codes**2 / 3, (np.exp((codes - c) / a) + b) / 12), np.float32)


@cache
def _eetf_table() -> _Light:
    """Square root of display light, where 1 is the peak, to light after the EETF, where 1 is white."""
    return np.asarray(_eetf(_codes() ** 2 * _PEAK) / _WHITE, np.float32)


@cache
def _output_table() -> Image:
    """Square root of light to the 8-bit code that a display shows as that light."""
    return np.asarray(np.round(_codes() ** (2 / 2.4) * 255), np.uint8)


def _eetf(light: Levels) -> Levels:
    """Map light of up to the peak to light of up to white (cd/m²). Brighter light counts as the peak."""
    peak = _light_to_pq(_PEAK)
    codes = np.minimum(_light_to_pq(light) / peak, 1)
    highest = _light_to_pq(_WHITE) / peak
    knee = 1.5 * highest - 0.5
    t = (codes - knee) / (1 - knee)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * highest
    )
    return _pq_to_light(np.where(codes < knee, codes, bent) * peak)


_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def _pq_to_light(code: Levels) -> Levels:
    power = code ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _light_to_pq(light: Levels | float) -> Levels:
    power = (np.asarray(light) / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)
