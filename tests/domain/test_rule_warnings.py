"""What can be met, but not as one might expect, is told in a warning."""

import pytest

from app.domain.analysis import Tracking
from app.domain.rule_warnings import sampling_warning
from app.domain.sampling import EveryFrame, FixedRate, KeyframesOnly, Sampling


@pytest.mark.parametrize(
    ("sampling", "gap", "said"),
    [
        (FixedRate(2), 2.0, None),
        (FixedRate(0.51), 2.0, None),
        (FixedRate(0.5), 2.0, "A frame every 2 s is rare"),  # some come a little more than 2 s apart
        (FixedRate(0.1), 2.0, "more than 0.5 frames per second, or a longer gap"),
        (FixedRate(0.1), 10.0, "unseen for 10 s"),
        (FixedRate(0.1), 11.0, None),
        (FixedRate(0.01), 60.0, "with a frame every 30 s or more often"),
        (FixedRate(240), 0.1, None),
        (EveryFrame(), 0.1, None),
        (KeyframesOnly(), 0.1, None),
        (None, 0.1, None),  # of stored footage
    ],
)
def test_frames_too_far_apart_to_follow_what_moves_are_told(
    sampling: Sampling | None, gap: float, said: str | None
) -> None:
    warning = sampling_warning(sampling, Tracking(gap))
    assert sampling_warning(sampling, None) is None
    if said is None:
        assert warning is None
    else:
        assert warning is not None
        assert said in warning.text
