"""Detectors that need a warm-up: a resumed run finds what an uninterrupted one finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.detectors.base import Detector, WarmUp
from app.detectors.warm_up import RebuiltDetector, replay_from
from app.domain.picture import Picture
from app.domain.prediction import Detection
from tests.support.pictures import ArrayPicture, plain

PICTURE = ArrayPicture(plain(64, 36))


class Recorder(Detector):
    """Returns the frames that it has seen, as a label: other frames before, another result."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def detect(self, _picture: Picture, frame: int) -> tuple[Detection, ...]:
        self.seen.append(frame)
        return (Detection(",".join(map(str, self.seen)), 1.0, (0, 0, 1, 1)),)


def run(warm_up: WarmUp, frames: list[int], start: int = 0) -> dict[int, tuple[Detection, ...]]:
    """What a run that resumes at `start` stores; sampled frames that are not in `frames` failed to decode."""
    detector = RebuiltDetector(Recorder, warm_up, start)
    found = {n: detector.detect(n, PICTURE, n) for n in frames if n >= replay_from(start, warm_up)}
    return {n: detections for n, detections in found.items() if n >= start}


def test_an_instance_has_seen_its_warm_up_and_no_older_frame() -> None:
    stored = run(WarmUp(rebuild_every=5, frames=2), list(range(12)))
    assert [stored[n][0].label for n in (4, 5, 11)] == ["0,1,2,3,4", "3,4,5", "8,9,10,11"]


def test_a_resumed_run_begins_with_the_warm_up_of_the_instance() -> None:
    warm_up = WarmUp(rebuild_every=100, frames=10)
    assert [replay_from(n, warm_up) for n in (0, 99, 100, 199, 250)] == [0, 0, 90, 90, 190]


@given(
    rebuild_every=st.integers(1, 8),
    frames=st.integers(0, 8),
    start=st.integers(0, 40),
    failed=st.sets(st.integers(0, 40)),
)
def test_a_resumed_run_stores_what_an_uninterrupted_one_stores(
    rebuild_every: int, frames: int, start: int, failed: set[int]
) -> None:
    warm_up = WarmUp(rebuild_every, min(frames, rebuild_every))
    decoded = [n for n in range(41) if n not in failed]
    uninterrupted = {n: found for n, found in run(warm_up, decoded).items() if n >= start}
    assert run(warm_up, decoded, start) == uninterrupted


class FailsOnFrame4(Recorder):
    """Sees frame 4 and then raises."""

    def detect(self, picture: Picture, frame: int) -> tuple[Detection, ...]:
        found = super().detect(picture, frame)
        if frame == 4:
            raise ValueError("frame 4")
        return found


def test_after_a_frame_that_fails_both_runs_find_the_same() -> None:
    def labels(start: int) -> list[str]:
        detector = RebuiltDetector(FailsOnFrame4, warm_up, start)
        found = []
        for n in range(replay_from(start, warm_up), 7):
            if n == 4:
                with pytest.raises(ValueError, match="frame 4"):
                    detector.detect(n, PICTURE, n)
            elif n >= 5:
                found.append(detector.detect(n, PICTURE, n)[0].label)
            else:
                detector.detect(n, PICTURE, n)
        return found

    warm_up = WarmUp(rebuild_every=5, frames=2)
    assert labels(start=0) == labels(start=5) == ["3,4,5", "3,4,5,6"]
