"""What the verifier says of events."""

import pytest

from tests.support.ground_truth import Findings, judge_events

Event = tuple[int, str, float]
TRUTH: list[Event] = [(1, "zone", 0.5), (2, "zone", 1.5), (3, "line", 2.0)]


@pytest.mark.parametrize(
    ("stored", "missing", "doubled", "wrong"),
    [
        ([(7, *event[1:]) for event in TRUTH], 0, 0, 0),  # only the ids differ
        (TRUTH[:2], 1, 0, 0),
        ([*TRUTH, (4, "zone", 1.5)], 0, 1, 0),
        ([*TRUTH[:2], (3, "line", 2.5)], 1, 0, 1),
    ],
)
def test_events_are_missing_doubled_or_wrong(
    stored: list[Event], missing: int, doubled: int, wrong: int
) -> None:
    found = Findings()
    judge_events(found, TRUTH, stored)
    assert (found.missing_events, found.doubled_events, found.wrong_events) == (missing, doubled, wrong)
