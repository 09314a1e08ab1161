"""Tiles cover the picture, overlap, and say where a box is in it."""

from itertools import pairwise

import numpy as np
import pytest

from app.detectors.base import RawDetection
from app.detectors.objects.tiles import OVERLAP, Tile, tiles_of
from tests.support.pictures import ArrayPicture

SIDE = 300


def tiles(width: int, height: int, count: int) -> list[Tile]:
    image = np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)
    return list(tiles_of(ArrayPicture(image), count, SIDE))


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (640, 360), (333, 500)])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_tiles_cover_the_picture_and_overlap(size: tuple[int, int], count: int) -> None:
    made = tiles(*size, count)
    assert len(made) == count**2
    seen = np.zeros((made[0].full[1], made[0].full[0]), bool)
    for tile in made:
        width, height = tile.picture.width, tile.picture.height
        assert max(width, height) <= SIDE
        seen[tile.top : tile.top + height, tile.left : tile.left + width] = True
    assert seen.all()
    lefts = sorted({tile.left for tile in made})
    width = made[0].picture.width
    for one, next_one in pairwise(lefts):
        assert one + width - next_one >= OVERLAP * width - 2


def test_a_box_in_a_tile_is_told_in_pixels_of_the_picture() -> None:
    *_, last = tiles(1200, 600, 2)
    width, height = last.picture.width, last.picture.height
    whole = RawDetection("car", 0.5, 20, 30, width, height, 2)
    box = (last.left + 20) * 1200 / last.full[0], (last.top + 30) * 600 / last.full[1], 1200, 600
    found = last.in_picture(whole)
    assert found is not None
    assert found[2:6] == pytest.approx(box)
    assert (found.label, found.confidence, found.class_id) == ("car", 0.5, 2)


def test_a_box_that_a_tile_cuts_off_is_left_to_others() -> None:
    first, *_ = tiles(1200, 600, 2)
    width, height = first.picture.width, first.picture.height
    assert first.in_picture(RawDetection("car", 0.5, 0, 0, width - 20, height - 20)) is not None
    assert first.in_picture(RawDetection("car", 0.5, 0, 0, width - 1, height - 20)) is None
    assert first.in_picture(RawDetection("car", 0.5, 0, 0, width - 20, height)) is None
