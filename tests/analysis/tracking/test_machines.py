"""Every machine comes to the same state, bit for bit."""

from hashlib import sha256
from random import Random

import msgspec

from app.analysis.tracking.tracker import Tracker
from app.domain.analysis import Tracking
from app.domain.prediction import Detection

DIGEST = "19122beb87ee5fd878a7cc0fd2582d0aae061cee5614d5603f4578cf97102865"
"""Of the state below. It changes with the tracker's constants, and must not change with the machine."""


def test_the_state_is_that_of_the_machine_on_which_this_test_was_written() -> None:
    numbers = Random(1)  # whole numbers only, because functions such as `gauss` use the C library
    tracker = Tracker(Tracking())
    for frame in range(200):
        detections = []
        for n in range(12):
            x = 40 + 90 * n + frame * (n - 6) + numbers.randrange(-4, 5)
            y = 200 + 20 * n + numbers.randrange(-4, 5)
            if numbers.randrange(10):
                confidence = numbers.randrange(10, 100) / 100
                detections.append(Detection("person", confidence, (x, y, x + 40, y + 100)))
        tracker.update(frame, frame / 7, (1280, 720), detections)
    state = msgspec.json.encode(tracker.save())
    assert tracker.next_track_id > 12
    assert sha256(state).hexdigest() == DIGEST
