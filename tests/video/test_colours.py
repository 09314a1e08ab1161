"""Colours are within one level of what the standards' formulas give in double precision."""

from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from app.video.pictures import AvPicture
from tests.video.recordings import opened

BT601, BT709, BT2020, YCGCO, UNSPECIFIED = 6, 1, 9, 8, 2
LIMITED, FULL = 1, 2
KR_KB = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722), BT2020: (0.2627, 0.0593)}
FORMATS = [
    "yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuva420p", "nv12", "nv21", "yuyv422", "uyvy422",
    "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv444p12le", "yuv420p16le", "yuv420p10be", "p010le",
]  # fmt: skip
PATCH = 32
COLUMNS, ROWS = 6, 5

Levels = NDArray[np.float64]


def standard(samples: Levels, matrix: int, color_range: int, bits: int) -> Levels:
    """Return BGR from 0 to 255 as the standard defines it, not rounded."""
    luma, blue, red = samples
    if color_range == LIMITED:
        y = (luma / 2 ** (bits - 8) - 16) / 219
        u, v = ((samples / 2 ** (bits - 8) - 128) / 224 for samples in (blue, red))
    else:
        y = luma / (2**bits - 1)
        u, v = ((samples - 2 ** (bits - 1)) / (2**bits - 1) for samples in (blue, red))
    if matrix == YCGCO:
        bgr = [y - u - v, y + u, y - u + v]
    else:
        kr, kb = KR_KB[matrix]
        r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
        bgr = [b, (y - kr * r - kb * b) / (1 - kr - kb), r]
    return np.asarray(np.clip(np.stack(bgr, axis=-1), 0, 1) * 255)


def patches(bits: int) -> Levels:
    """Return luma, blue and red difference of each patch, shape (3, rows, columns)."""
    random = np.random.default_rng(bits)
    samples = random.integers(0, 2**bits, (3, ROWS * COLUMNS)).astype(float)
    unit = 2 ** (bits - 8)
    samples[:, :4] = np.array([[16, 235, 126, 81], [128, 128, 128, 90], [128, 128, 128, 240]]) * unit
    return samples.reshape(3, ROWS, COLUMNS)


def patchwork(format: str, width: int, height: int) -> tuple[av.VideoFrame, Levels, int]:  # noqa: A002
    """Return a frame of patches of one colour each, the samples of each patch, and their bits."""
    details = av.VideoFormat(format, 64, 64)
    bits = details.components[0].bits
    samples = patches(bits)
    across, down = 64 // details.chroma_width(64), 64 // details.chroma_height(64)
    subsampling = {(2, 2): "420", (2, 1): "422", (1, 1): "444", (1, 2): "440", (4, 1): "411"}[across, down]
    planar = f"yuv{subsampling}p" + (f"{bits}le" if bits > 8 else "")
    frame = av.VideoFrame(width, height, format if format.startswith("yuvj") else planar)
    for plane, values, x, y in zip(frame.planes, samples, (1, across, across), (1, down, down), strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        pixels = np.repeat(np.repeat(values, PATCH // y, 0), PATCH // x, 1)[: plane.height, : plane.width]
        kind = np.dtype("<u2" if bits > 8 else np.uint8)
        rows.view(kind)[: pixels.shape[0], : pixels.shape[1]] = pixels.astype(kind)
    return frame.reformat(format=format), samples, bits


def centres(image: NDArray[np.uint8], width: int, height: int) -> Levels:
    """Return the pixels in the middle of the patches of a picture that was `width` x `height`."""
    rows = (np.arange(ROWS) * PATCH + PATCH // 2) * image.shape[0] // height
    columns = (np.arange(COLUMNS) * PATCH + PATCH // 2) * image.shape[1] // width
    return np.asarray(image[rows][:, columns], float)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", [(192, 160), (187, 153)])
@pytest.mark.parametrize(("matrix", "color_range"), list(product([*KR_KB, YCGCO], [LIMITED, FULL])))
def test_colours_are_those_of_the_standard(
    format: str,  # noqa: A002
    size: tuple[int, int],
    matrix: int,
    color_range: int,
) -> None:
    frame, samples, bits = patchwork(format, *size)
    frame.colorspace, frame.color_range = matrix, color_range
    picture = AvPicture(frame)
    expected = standard(samples, matrix, color_range, bits)
    no_colour = np.full_like(samples, 2 ** (bits - 1))
    no_colour[0] = samples[0]
    brightness = standard(no_colour, BT709, color_range, bits)[..., 0]
    for target in (None, (96, 80), (48, 40), (80, 60), (101, 77), (300, 201)):
        assert np.abs(centres(picture.bgr(target), *size) - expected).max() < 1, target
        assert np.abs(centres(picture.gray(target), *size) - brightness).max() < 1, target


@pytest.mark.parametrize(
    ("width", "height", "matrix"),
    [(1280, 160, BT709), (192, 720, BT709), (1278, 718, BT601), (720, 576, BT601)],
)
def test_an_unspecified_matrix_follows_from_the_size(width: int, height: int, matrix: int) -> None:
    frame, samples, _ = patchwork("yuv420p", width, height)
    for unknown in (UNSPECIFIED, 3, 14):
        frame.colorspace, frame.color_range = unknown, 0
        expected = standard(samples, matrix, LIMITED, 8)
        assert np.abs(centres(AvPicture(frame).bgr(), width, height) - expected).max() < 1


@pytest.mark.parametrize(("primaries", "matrix"), [(1, BT709), (6, BT601), (9, BT2020)])
def test_a_matrix_can_follow_from_the_primaries(primaries: int, matrix: int) -> None:
    frame, samples, _ = patchwork("yuv420p", 192, 160)
    frame.colorspace, frame.color_primaries, frame.color_range = 12, primaries, LIMITED
    expected = standard(samples, matrix, LIMITED, 8)
    assert np.abs(centres(AvPicture(frame).bgr(), 192, 160) - expected).max() < 1


@pytest.mark.parametrize("format", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_the_formats_of_jpeg_are_full_range(format: str) -> None:  # noqa: A002
    frame, samples, _ = patchwork(format, 192, 160)
    for declared in (0, FULL):
        frame.color_range = declared
        expected = standard(samples, BT601, FULL, 8)
        assert np.abs(centres(AvPicture(frame).bgr(), 192, 160) - expected).max() < 1


@pytest.mark.parametrize("format", ["gray", "gray10le", "gray16le"])
@pytest.mark.parametrize("color_range", [0, LIMITED, FULL])
def test_gray_frames_are_full_range_unless_declared(format: str, color_range: int) -> None:  # noqa: A002
    bits = av.VideoFormat(format, 64, 64).components[0].bits
    samples = patches(bits)[0]
    frame = av.VideoFrame(192, 160, format)
    kind = np.dtype("<u2" if bits > 8 else np.uint8)
    rows = np.frombuffer(memoryview(frame.planes[0]), np.uint8).reshape(-1, frame.planes[0].line_size)
    rows.view(kind)[:160, :192] = np.repeat(np.repeat(samples, PATCH, 0), PATCH, 1)
    frame.color_range = color_range
    black, white = (16, 235) if color_range == LIMITED else (0, (2**bits - 1) / 2 ** (bits - 8))
    expected = np.clip((samples / 2 ** (bits - 8) - black) / (white - black), 0, 1) * 255
    for target in (None, (96, 80), (101, 77)):
        assert np.abs(centres(AvPicture(frame).gray(target), 192, 160) - expected).max() < 1
        colour = centres(AvPicture(frame).bgr(target), 192, 160)
        assert np.abs(colour - expected[..., None]).max() < 1


def test_brightness_does_not_depend_on_the_path() -> None:
    """Gray stays exactly gray, and equally bright in every format and size."""
    for format in ("yuv420p", "yuv444p", "nv12", "yuv422p"):  # noqa: A001
        frame, _, _ = patchwork(format, 192, 160)
        frame.colorspace, frame.color_range = BT709, LIMITED
        for target in (None, (96, 80), (101, 77)):
            colour = centres(AvPicture(frame).bgr(target), 192, 160)[0, :3]
            assert colour.tolist() == [[0, 0, 0], [255, 255, 255], [128, 128, 128]], format


@pytest.mark.parametrize(
    ("matrix", "codes"), [(14, ["colours_unsupported"]), (BT2020, []), (UNSPECIFIED, [])]
)
def test_a_matrix_that_is_not_supported_is_told(tmp_path: Path, matrix: int, codes: list[str]) -> None:
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 192, 160, "yuv420p"
        stream.codec_context.colorspace = matrix
        for _ in range(3):
            container.mux(stream.encode(patchwork("yuv420p", 192, 160)[0]))
        container.mux(stream.encode())
    with opened(tmp_path, "clip.mp4") as video:
        assert [warning.code for warning in video.warnings] == codes
