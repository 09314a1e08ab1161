"""Trackers of the package `trackers`, and how well any tracker does on scenes, by that package's metrics."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from statistics import fmean
from typing import Any

import numpy as np
import supervision
from msgspec import Struct
from trackers import BIoU, BoTSORTTracker, ByteTrackTracker, DIoU, GIoU, IoU, OCSORTTracker, SORTTracker
from trackers.eval.box import box_iou
from trackers.eval.hota import aggregate_hota_metrics, compute_hota_metrics
from trackers.eval.identity import aggregate_identity_metrics, compute_identity_metrics

from tests.support.scenes import Scene, SceneFrame

Options = dict[str, Any]
Found = tuple[list[tuple[float, float, float, float]], list[int]]
"""The boxes of one frame that belong to tracks, and the ids of those."""
Follow = Callable[[Scene, Sequence[SceneFrame], int], list[Found]]
"""Follows the objects of a scene in frames of this rate, in frames/s."""

_OVERLAPS = (GIoU(), DIoU(), IoU(), BIoU(0.3), BIoU(1.0))
_SECONDS_LOST = tuple(30 * seconds for seconds in (1, 2, 3))  # the unit of `lost_track_buffer` is 1/30 s
_COMMON = {
    "iou": _OVERLAPS,
    "lost_track_buffer": _SECONDS_LOST,
    "minimum_consecutive_frames": (1, 2, 3),
}
_LEAST_OVERLAPS = (-0.7, -0.3, 0.01, 0.1, 0.3)
_THRESHOLDS = (0.25, 0.4, 0.55, 0.7)


class Reference(Struct, frozen=True):
    """A tracker, and the values of its options among which the best for each frame rate are searched."""

    name: str
    make: Callable[..., Any]
    choices: dict[str, tuple[Any, ...]]
    fixed: Options = {}

    def start(self) -> Options:
        """Return the options with which the search begins: the middle ones."""
        return {name: values[len(values) // 2] for name, values in self.choices.items()}

    def neighbours(self, options: Options, name: str) -> Iterator[Options]:
        """Return the options with all other values of one of them."""
        return ({**options, name: value} for value in self.choices[name] if value is not options[name])

    def with_options(self, options: Options) -> Follow:
        """Return the tracker with these options."""

        def follow(_scene: Scene, frames: Sequence[SceneFrame], rate: int) -> list[Found]:
            tracker = self.make(frame_rate=float(rate), **options, **self.fixed)
            return [_updated(tracker, frame) for frame in frames]

        return follow


REFERENCES = (
    Reference(
        "SORT",
        SORTTracker,
        {
            **_COMMON,
            "minimum_iou_threshold": _LEAST_OVERLAPS,
            "track_activation_threshold": _THRESHOLDS,
        },
    ),
    Reference(
        "ByteTrack",
        ByteTrackTracker,
        {
            **_COMMON,
            "minimum_iou_threshold": _LEAST_OVERLAPS,
            "track_activation_threshold": _THRESHOLDS,
            "high_conf_det_threshold": _THRESHOLDS,
        },
    ),
    Reference(
        "OC-SORT",
        OCSORTTracker,
        {
            **_COMMON,
            "minimum_iou_threshold": _LEAST_OVERLAPS,
            "high_conf_det_threshold": _THRESHOLDS,
            "direction_consistency_weight": (0.0, 0.2, 0.5),
        },
    ),
    Reference(
        "BoT-SORT",
        BoTSORTTracker,
        {
            **_COMMON,
            "minimum_iou_threshold_first_assoc": _LEAST_OVERLAPS,
            "minimum_iou_threshold_second_assoc": (-0.3, 0.1, 0.5),
            "minimum_iou_threshold_unconfirmed_assoc": (-0.3, 0.1, 0.3),
            "track_activation_threshold": _THRESHOLDS,
            "high_conf_det_threshold": _THRESHOLDS,
        },
        {"enable_cmc": False},  # it needs the pictures
    ),
)


def _updated(tracker: Any, frame: SceneFrame) -> Found:
    detections = supervision.Detections.empty()
    if frame.detections:
        detections = supervision.Detections(
            xyxy=np.array([one.box for one in frame.detections], np.float32),
            confidence=np.array([one.confidence for one in frame.detections], np.float32),
            class_id=np.zeros(len(frame.detections), int),
        )
    result = tracker.update(detections)
    kept = [] if result.tracker_id is None else [n for n, one in enumerate(result.tracker_id) if one >= 0]
    boxes = [tuple(map(float, result.xyxy[n])) for n in kept]
    return [(b[0], b[1], b[2], b[3]) for b in boxes], [int(result.tracker_id[n]) for n in kept]


class Score(Struct, frozen=True):
    """HOTA and IDF1, from 0 to 1."""

    hota: float
    idf1: float

    @property
    def both(self) -> float:
        return (self.hota + self.idf1) / 2


def score(follow: Follow, scenes: Iterable[Scene], rate: int) -> dict[str, Score]:
    """Return the score for each kind of scene, over all its seeds, and the mean of the kinds as `all`."""
    results: dict[str, list[tuple[Any, Any]]] = {}
    for scene in scenes:
        frames = scene.sampled(rate)
        results.setdefault(scene.name, []).append(_compared(frames, follow(scene, frames, rate)))
    scores = {
        name: Score(
            aggregate_hota_metrics([hota for hota, _ in several])["HOTA"],
            aggregate_identity_metrics([identity for _, identity in several])["IDF1"],
        )
        for name, several in results.items()
    }
    mean = Score(fmean(one.hota for one in scores.values()), fmean(one.idf1 for one in scores.values()))
    return {**scores, "all": mean}


def _compared(frames: Sequence[SceneFrame], found: list[Found]) -> tuple[Any, Any]:
    """Return HOTA and identity metrics of the labelled frames of one scene."""
    pairs = [(frame, one) for frame, one in zip(frames, found, strict=True) if frame.is_labelled]
    true_ids = [np.array([truth.identity for truth in frame.truths], int) for frame, _ in pairs]
    found_ids = [np.array(ids, int) for _, (_, ids) in pairs]
    overlaps = [
        box_iou(
            np.array([truth.box for truth in frame.truths], float).reshape(-1, 4),
            np.array(boxes, float).reshape(-1, 4),
            box_format="xyxy",
        )
        for frame, (boxes, _) in pairs
    ]
    return (
        compute_hota_metrics(true_ids, found_ids, overlaps),
        compute_identity_metrics(true_ids, found_ids, overlaps),
    )
