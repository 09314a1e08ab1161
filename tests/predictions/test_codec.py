"""Predictions as they are sent: in lists beside each other, and what is surest in each block."""

import pytest

from app.domain.prediction import Detection, Prediction
from app.predictions.codec import BLOCK, pack
from tests.support.rows import packed


def seen(frame: int, *found: tuple[str, float]) -> Prediction:
    return Prediction(
        frame, frame / 30, tuple(Detection(label, sure, (1.0, 2.0, 3.0, 4.0)) for label, sure in found)
    )


def test_frames_are_parted_by_borders() -> None:
    sent = pack([seen(3, ("car", 0.5), ("dog", 0.25)), seen(4), seen(9, ("car", 1.0))])
    assert (sent.frames, sent.times) == ([3, 4, 9], [0.1, 4 / 30, 0.3])
    assert sent.borders == [0, 2, 2, 3]
    assert sent.labels == "car\ndog\x1e\x1ecar\x1e"
    assert sent.confidences == packed(0.5, 0.25, 1.0)
    assert sent.boxes == packed(*[1.0, 2.0, 3.0, 4.0] * 3)


def test_what_nothing_has_is_not_sent() -> None:
    assert (pack([seen(0, ("car", 0.5))]).track_ids, pack([seen(0)]).errors) == (None, None)
    tracked = Detection("car", 0.5, (1.0, 2.0, 3.0, 4.0), track_id=7)
    sent = pack([seen(0, ("car", 0.5)), Prediction(1, 0.1, (tracked,)), Prediction(2, 0.2, (), "damaged")])
    assert sent.track_ids == [None, 7]
    assert sent.errors == [None, None, "damaged"]


@pytest.mark.parametrize("gap", [1, 50])
def test_each_block_has_its_surest(gap: int) -> None:
    far = gap * BLOCK
    best = pack(
        [
            seen(BLOCK - 2, ("car", 0.25), ("dog", 0.0)),
            seen(BLOCK - 1, ("car", 0.75), ("car", 0.5)),
            seen(far, ("dog", 0.125)),
            seen(far + BLOCK),
        ]
    ).best
    assert list(zip(best.labels, best.blocks, best.confidences, strict=True)) == [
        ("car", 0, 0.75),
        ("dog", 0, 0.0),
        ("", 0, 0.75),
        ("dog", gap, 0.125),
        ("", gap, 0.125),
    ]


def test_nothing_packs_to_nothing() -> None:
    sent = pack([])
    assert (sent.frames, sent.borders, sent.labels, sent.best.labels) == ([], [0], "", [])
