"""Batches of predictions as a run makes them."""

from app.domain.prediction import Detection, Prediction
from app.predictions.checkpoint import Batch, Counters


def prediction(frame: int, detections: int = 1) -> Prediction:
    found = tuple(
        Detection(f"aruco:{number}", 0.5, (1.0, 2.0, 3.5, 4.25), track_id=None)
        for number in range(detections)
    )
    return Prediction(frame, frame / 30, found)


def batch(start: int, end: int, *, is_finished: bool = False) -> Batch:
    """Return a batch of the frames `start` to `end`, all of them sampled."""
    return as_batch(start, end, [prediction(frame) for frame in range(start, end)], is_finished=is_finished)


def as_batch(start: int, end: int, predictions: list[Prediction], *, is_finished: bool = False) -> Batch:
    """Return a batch of the frames `start` to `end`, of which some were sampled."""
    return Batch(
        start=start,
        end=end,
        predictions=predictions,
        counters=Counters(sampled=end, detections=end),
        position_seconds=end / 30,
        frames_per_second=100.0,
        candidates="all",
        replay_frame=0,
        replay_sampled=0,
        source_state="open",
        is_finished=is_finished,
    )
