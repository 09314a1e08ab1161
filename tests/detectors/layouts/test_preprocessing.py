"""How a picture becomes a network's input, and where a box in it is in the picture."""

from typing import Any

import numpy as np
import pytest

from app.detectors.layouts.preprocessing import PictureFormat, PictureScaler, ScaledPicture
from app.domain.model_input import Fit
from app.domain.picture import Image
from tests.support.pictures import ArrayPicture


def thirds() -> Image:
    """Return a picture of 60×20 pixels: a third blue, a third green, a third red."""
    image = np.zeros((20, 60, 3), np.uint8)
    for channel in range(3):
        image[:, channel * 20 : channel * 20 + 20, channel] = 255
    return image


def scaled(image: Image, **options: Any) -> ScaledPicture:
    form = PictureFormat(name="images", height=30, width=30, **options)
    return PictureScaler(form).scale(ArrayPicture(image))


@pytest.mark.parametrize(
    ("fit", "box", "expected"),
    [
        ("letterbox", (10, 10, 20, 20), (20, 0, 40, 20)),
        ("pad", (10, 0, 20, 10), (20, 0, 40, 20)),
        ("stretch", (10, 0, 20, 30), (20, 0, 40, 20)),
    ],
)
def test_green_is_where_the_box_in_the_input_says(
    fit: Fit, box: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    made = scaled(thirds(), fit=fit)
    x1, y1, x2, y2 = box
    assert made.pixels.shape == (1, 3, 30, 30)
    assert (made.pixels[0, :, y1:y2, x1:x2] == np.array([0, 1, 0])[:, None, None]).all()
    assert (np.array(box) - made.offset) * made.factor == pytest.approx(expected)
    outside = np.ones((30, 30), bool)
    outside[y1:y2] = False
    assert made.pixels[0, :, outside] == pytest.approx(114 / 255)


def test_the_middle_part_alone_is_seen_if_a_picture_is_cropped() -> None:
    for image in (thirds(), np.ascontiguousarray(thirds().transpose(1, 0, 2))):
        made = scaled(image, fit="crop").pixels[0]
        assert (made == np.array([0, 1, 0])[:, None, None]).all()


def test_colours_are_scaled_in_their_order() -> None:
    options: dict[str, Any] = {"fit": "stretch", "mean": (10, 20, 30), "std": (2, 4, 5), "range": 255}
    rgb, bgr = (scaled(thirds(), colours=order, **options).pixels[0] for order in ("rgb", "bgr"))
    red, blue = (255, 0, 0), (0, 0, 255)
    for made, last, first in ((rgb, red, blue), (bgr, blue, red)):
        for column, levels in ((29, last), (0, first)):
            expected = (np.array(levels) - (10, 20, 30)) / (2, 4, 5)
            assert made[:, 0, column] == pytest.approx(expected)


def test_padding_is_scaled_as_colours_are() -> None:
    made = scaled(thirds(), fit="pad", mean=(0.5, 0.4, 0.3), std=(0.2, 0.1, 0.5)).pixels[0]
    expected = (114 / 255 - np.array([0.5, 0.4, 0.3])) / (0.2, 0.1, 0.5)
    assert made[:, -1, -1] == pytest.approx(expected, rel=1e-5)


def test_channels_last_and_other_numbers_hold_the_same() -> None:
    plain = scaled(thirds()).pixels
    last = scaled(thirds(), is_channels_last=True, dtype="float16").pixels
    assert last.shape == (1, 30, 30, 3)
    assert last.dtype == np.float16
    assert last.transpose(0, 3, 1, 2) == pytest.approx(plain, abs=1e-3)
    whole = scaled(thirds(), dtype="uint8", range=255).pixels
    assert whole.dtype == np.uint8
    assert whole == pytest.approx(plain * 255)
    single = scaled(thirds(), has_batch_axis=False).pixels
    assert (single == plain[0]).all()


def test_a_fixed_batch_is_filled_with_empty_pictures() -> None:
    made = scaled(thirds(), batch=3).pixels
    assert made.shape == (3, 3, 30, 30)
    assert (made[0] == scaled(thirds()).pixels[0]).all()
    assert made[1:] == pytest.approx(114 / 255)


def test_a_dynamic_shape_is_no_larger_than_the_picture_needs() -> None:
    options: dict[str, Any] = {"has_dynamic_shape": True, "stride": 4}
    assert scaled(thirds(), **options).pixels.shape == (1, 3, 12, 32)
    assert scaled(thirds(), fit="stretch", **options).pixels.shape == (1, 3, 30, 30)
