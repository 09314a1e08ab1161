"""Recordings of every kind, whole and damaged, compared with what FFmpeg's own programs say of them.

A drawn sample of 40; 340 at full length. Each is read in a thread, resumed in the middle, and every fourth in
a process.
"""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.video.losses import LossFinder
from tests.support.missing import skip_or_fail
from tests.torture.battery import Battery, size
from tests.torture.media.damages import damage
from tests.torture.media.listing import list_packets, list_recording
from tests.torture.media.recipes import GOP, Recipe, draw, make, recipes, run
from tests.torture.media.verifier import (
    Reading,
    compare_damaged,
    compare_resumed,
    compare_whole,
    repaired,
    with_lost,
)

ROW = 15
COUNT = size(40, 340)
FIRST = 0


@pytest.fixture(autouse=True)
def _needs_ffmpeg() -> None:
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        skip_or_fail("needs the ffmpeg package")


def differences(recipe: Recipe, folder: Path) -> Iterator[str]:
    """Everything that is wrong in what is read of one recording."""
    chance = random.Random(recipe.number)
    path = make(recipe, folder)
    first = Reading(path)
    shape = next((row.pixels.shape for row in first.rows if row.pixels is not None), None)
    if shape is None:
        yield f"nothing could be decoded: {first.fault}"
        return
    shown_size = shape[1], shape[0]
    whole = list_recording(path, shown_size)
    yield from compare_whole(recipe, first, whole)
    read, loose = first, set[int]()
    if recipe.damage:
        broken = path.with_name(f"damaged_{path.name}")
        if recipe.damage == "dropped":
            drop = "noise=drop=between(n\\,20\\,24)"
            run(
                ["ffmpeg", "-i", str(path), "-map", "0", "-c", "copy", "-copyts", "-bsf:v", drop, str(broken)]
            )
            hit = range(20, 25)
        else:
            packets = list_packets(path)[1]
            hit = damage(recipe.damage, path, broken, packets, GOP, chance)
        path, read = broken, Reading(broken)
        damaged = list_recording(broken, shown_size)
        hit = with_lost(hit, whole, damaged)
        yield from compare_damaged(recipe, read, whole, damaged, hit)
        loose = repaired(recipe, read, whole, hit)
    start = chance.randrange(1, max(len(read.rows), 2))
    yield from compare_resumed(read, Reading(path, start), start, loose)
    if recipe.number % 4 == 0:
        yield from compare_resumed(read, Reading(path, in_process=True), 0, loose)


def test_the_last_pictures_come_in_order_if_their_times_are_equal(tmp_path: Path) -> None:
    recipe = draw(310)
    assert (recipe.codec, recipe.container, recipe.shape) == ("mpeg4", "asf", "-bf 2")
    assert list(differences(recipe, tmp_path)) == []


def test_a_whole_group_that_is_lost_leaves_the_same_after_a_resumption(tmp_path: Path) -> None:
    recipe = draw(217)
    assert (recipe.codec, recipe.container, recipe.damage) == ("h264", "asf", "middle")
    assert list(differences(recipe, tmp_path)) == []


@pytest.mark.timeout(size(400, 3600))
def test_what_is_read_is_what_ffmpeg_lists(tmp_path: Path, battery: Battery) -> None:
    findings = []
    for recipe in recipes(FIRST, COUNT):
        found = list(differences(recipe, tmp_path))
        findings += [f"{recipe}: {each}" for each in found[:3]]
        for path in tmp_path.iterdir():
            path.unlink()
    assert findings == []
    damaged = sum(bool(recipe.damage) for recipe in recipes(FIRST, COUNT))
    lost = "0 frames missing, at another ordinal or time, or with another picture"
    battery.passed(ROW, f"generated recordings, {damaged} of them damaged", f"{COUNT} recordings", lost)


def test_lost_pictures_that_are_not_counted_would_be_noticed(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = next(
        recipe for recipe in recipes(0, 1000) if (recipe.container, recipe.damage) == ("ts", "group")
    )
    monkeypatch.setattr(LossFinder, "fill", lambda *_: ())
    found = [each for each in differences(recipe, tmp_path) if "of the undamaged recording" in each]
    assert len(found) > 10
    battery.unguarded(ROW, "counting lost pictures", "1 recording", f"{len(found)} at another ordinal")
