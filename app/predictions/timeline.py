"""Count what was found in each 15 seconds of a video, or in other parts of it."""

import math
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from ..domain.prediction import Prediction

BUCKET_SECONDS = 15
"""`timeline_buckets` counts for each label and so many seconds of the video's time."""

BUCKETS_PER_PART = 20
"""`timeline_sums` has the sum of so many buckets, once nothing is added to them any more."""

TIME_TOLERANCE = 1e-6
"""Of a bucket: 6.0 // 0.1 is 59, because 0.1 has no exact number of double precision."""


class TimelineCounts(Struct, frozen=True):
    """Counts as parallel lists, with one value for each label in each bucket; the label "" stands for any.

    `frames`: in which it was found (of "": all that were sampled). `confidences`: the highest; 0 if none.
    `failed`: of "": the frames that could not be analysed; of others 0.
    """

    labels: list[str]
    buckets: list[int]
    frames: list[int]
    detections: list[int]
    confidences: list[float]
    failed: list[int]


class _Count:
    __slots__ = ("confidence", "detections", "failed", "frames", "last")

    def __init__(self) -> None:
        self.frames = 0
        self.detections = 0
        self.confidence = 0.0
        self.failed = 0
        self.last = -1  # frame in which it was found


def count_timeline(
    predictions: Sequence[Prediction], bucket_seconds: float = BUCKET_SECONDS
) -> TimelineCounts:
    """Return what the predictions add to the timeline of their scenario."""
    buckets: defaultdict[int, defaultdict[str, _Count]] = defaultdict(lambda: defaultdict(_Count))
    for prediction in predictions:
        found = buckets[math.floor(prediction.time / bucket_seconds + TIME_TOLERANCE)]
        found[""].frames += 1
        found[""].failed += prediction.error is not None
        for detection in prediction.detections:
            each = found[detection.label]
            each.detections += 1
            if each.last != prediction.frame:
                each.last = prediction.frame
                each.frames += 1
            if detection.confidence > each.confidence:
                each.confidence = detection.confidence
    counts = TimelineCounts([], [], [], [], [], [])
    for bucket, found in buckets.items():
        named = [each for label, each in found.items() if label]
        found[""].detections = sum(each.detections for each in named)
        found[""].confidence = max((each.confidence for each in named), default=0.0)
        counts.labels.extend(found)
        counts.buckets.extend([bucket] * len(found))
        counts.frames.extend(each.frames for each in found.values())
        counts.detections.extend(each.detections for each in found.values())
        counts.confidences.extend(each.confidence for each in found.values())
        counts.failed.extend(each.failed for each in found.values())
    return counts
