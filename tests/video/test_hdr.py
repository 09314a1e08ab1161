"""High dynamic range becomes 8-bit BT.709 by the formula that the docs name, within one level."""

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from app.video.pictures import AvPicture
from tests.video.test_colours import (
    BT2020,
    COLUMNS,
    FULL,
    LIMITED,
    PATCH,
    ROWS,
    centres,
    patches,
    patchwork,
    standard,
)

PQ, HLG = 16, 18
Levels = NDArray[np.float64]


def st2084(code: Levels) -> Levels:
    """Return light in cd/m²."""
    power = code ** (4096 / 2523 / 128)
    fraction = np.maximum(power - 3424 / 4096, 0) / (2413 / 128 - 2392 / 128 * power)
    return np.asarray(10_000 * fraction ** (16384 / 2610))


def inverse_st2084(light: Levels) -> Levels:
    power = (light / 10_000) ** (2610 / 16384)
    return np.asarray(((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32))


def hlg(code: Levels) -> Levels:
    """Return the light of a display of 1000 cd/m² (BT.2100). The channels are blue, green and red."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    luma = scene @ (0.0593, 0.6780, 0.2627)
    return np.asarray(1000 * luma[..., None] ** 0.2 * scene)


def bt2390(light: Levels) -> Levels:
    """Return the EETF for a source of 1000 and a display of 203 cd/m², black at 0."""
    top = inverse_st2084(np.array(1000.0))
    e1 = np.minimum(inverse_st2084(light) / top, 1)
    highest = inverse_st2084(np.array(203.0)) / top
    knee = 1.5 * highest - 0.5
    t = (e1 - knee) / (1 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * highest
    )
    return st2084(np.where(e1 < knee, e1, spline) * top)


def to_xyz(primaries: Levels) -> Levels:
    """Return the matrix from linear RGB with a white of D65, for x and y of red, green and blue."""
    x, y = primaries.T
    columns = np.array([x / y, np.ones(3), (1 - x - y) / y])
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return np.asarray(columns * np.linalg.solve(columns, white))


BT709_XY = np.array([[0.64, 0.33], [0.30, 0.60], [0.15, 0.06]])
BT2020_XY = np.array([[0.708, 0.292], [0.170, 0.797], [0.131, 0.046]])


def reduced(bgr: Levels, transfer: int) -> Levels:
    """Return 8-bit BGR, not rounded, of nonlinear BGR from 0 to 1."""
    light = bt2390(st2084(bgr) if transfer == PQ else hlg(bgr)) / 203
    matrix = np.linalg.solve(to_xyz(BT709_XY), to_xyz(BT2020_XY))
    narrow = np.clip(light[..., ::-1] @ matrix.T, 0, 1)[..., ::-1]
    return np.asarray(narrow ** (1 / 2.4) * 255)


@pytest.mark.parametrize("format", ["yuv420p10le", "p010le", "yuv422p10le", "yuv444p12le", "yuv420p"])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_is_reduced_as_documented(format: str, color_range: int, transfer: int) -> None:  # noqa: A002
    frame, samples, bits = patchwork(format, 192, 160)
    frame.colorspace, frame.color_range = BT2020, color_range
    frame.color_trc, frame.color_primaries = transfer, 9
    picture = AvPicture(frame)
    expected = reduced(standard(samples, BT2020, color_range, bits) / 255, transfer)
    for target in (None, (96, 80), (101, 77)):
        assert np.abs(centres(picture.bgr(target), 192, 160) - expected).max() < 1.01, target
        gray = expected @ (0.0722, 0.7152, 0.2126)
        assert np.abs(centres(picture.gray(target), 192, 160) - gray).max() < 1.5, target


@pytest.mark.parametrize("format", ["gray10le", "gray12le", "gray16le", "gray"])
@pytest.mark.parametrize("color_range", [LIMITED, FULL])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_without_colours_is_reduced_too(format: str, color_range: int, transfer: int) -> None:  # noqa: A002
    bits = av.VideoFormat(format, 64, 64).components[0].bits
    luma = patches(bits)[0]
    frame = av.VideoFrame(192, 160, format)
    rows = np.kron(luma, np.ones((PATCH, PATCH))).astype(np.uint8 if bits == 8 else "<u2")
    plane = frame.planes[0]
    target = np.frombuffer(memoryview(plane), rows.dtype).reshape(plane.height, -1)
    target[:, : plane.width] = rows
    frame.color_range, frame.color_trc, frame.color_primaries = color_range, transfer, 9
    picture = AvPicture(frame)
    middle = np.full_like(luma, 2 ** (bits - 1))
    neutral = standard(np.stack([luma, middle, middle]), BT2020, color_range, bits) / 255
    expected = reduced(neutral, transfer)
    assert np.abs(centres(picture.bgr(), 192, 160) - expected).max() < 1.01
    assert np.abs(centres(picture.gray(), 192, 160) - expected[..., 0]).max() < 1.01


@pytest.mark.parametrize("format", ["gbrp10le", "gbrp12le", "bgr24", "rgb48le", "x2rgb10le"])
@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_hdr_in_rgb_is_reduced_too(format: str, transfer: int) -> None:  # noqa: A002
    bits = {"bgr24": 8, "gbrp12le": 12, "rgb48le": 16}.get(format, 10)
    codes = np.random.default_rng(5).integers(0, 2**bits, (ROWS, COLUMNS, 3))
    large = np.kron(codes, np.ones((PATCH, PATCH, 1)))
    if bits == 8:
        frame = av.VideoFrame.from_ndarray(large.astype(np.uint8), format)
    else:
        rgb = np.ascontiguousarray(large[:, :, ::-1].astype(np.uint16))
        frame = av.VideoFrame.from_ndarray(rgb, f"gbrp{bits}le").reformat(format=format)
    frame.color_trc, frame.color_primaries = transfer, 9
    picture = AvPicture(frame)
    expected = reduced(codes / (2**bits - 1), transfer)
    assert np.abs(centres(picture.bgr(), 192, 160) - expected).max() < 1.01
    gray = expected @ (0.0722, 0.7152, 0.2126)
    assert np.abs(centres(picture.gray(), 192, 160) - gray).max() < 1.5


def test_white_of_203_candela_stays_bright_and_black_stays_black() -> None:
    frame, _, _ = patchwork("yuv420p10le", 192, 160)
    for plane, level in zip(frame.planes, (572, 512, 512), strict=True):  # 203 cd/m² in PQ
        np.frombuffer(memoryview(plane), np.uint16)[:] = level
    frame.colorspace, frame.color_range, frame.color_trc, frame.color_primaries = BT2020, LIMITED, PQ, 9
    assert 190 <= AvPicture(frame).bgr().min() <= AvPicture(frame).bgr().max() <= 230
