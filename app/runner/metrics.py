"""The runner's Prometheus metrics."""

from prometheus_client import Counter, Gauge, Histogram

from ..predictions.checkpoint import Batch

RUNS = Gauge("videoanalysis_runs", "Runs that this runner holds")
FRAMES = Counter("videoanalysis_frames", "Frames stored: sampled or skipped")
SAMPLED = Counter("videoanalysis_frames_sampled", "Sampled frames stored")
FAILED = Counter("videoanalysis_frames_failed", "Sampled frames stored with an error")
DETECTIONS = Counter("videoanalysis_detections", "Detections stored")
EXPIRED = Counter(
    "videoanalysis_predictions_expired", "Predictions of live sources removed by VA_LIVE_RETENTION_DAYS"
)
DROPPED_DELIVERIES = Counter(
    "videoanalysis_deliveries_dropped", "Messages dropped because too many waited", ["channel"]
)
LOSSES = Counter("videoanalysis_source_losses", "Times that a live source was lost, or could not be opened")
STORE_SECONDS = Histogram("videoanalysis_store_seconds", "Time to store one batch")
ENDED = Counter("videoanalysis_runs_ended", "Runs that ended on this runner", ["how"])


def count(batch: Batch) -> None:
    """Count a stored batch."""
    FRAMES.inc(batch.end - batch.start)
    SAMPLED.inc(len(batch.predictions))
    FAILED.inc(sum(prediction.error is not None for prediction in batch.predictions))
    DETECTIONS.inc(sum(len(prediction.detections) for prediction in batch.predictions))
