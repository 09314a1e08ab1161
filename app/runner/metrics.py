"""The runner's Prometheus metrics."""

from prometheus_client import Counter, Gauge, Histogram

from ..predictions.checkpoint import Batch
from ..predictions.evidence import pictures_by_frame

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
PICTURES = Counter("videoanalysis_evidence_pictures", "Pictures of live sources' events stored")
PICTURE_BYTES = Counter("videoanalysis_evidence_bytes", "Bytes of the pictures of events stored")
MISSED_PICTURES = Counter(
    "videoanalysis_evidence_missed",
    "Pictures of events not taken because too many waited to be stored, or the frame could not be encoded",
)
REMOVED_PICTURES = Counter(
    "videoanalysis_evidence_removed", "Pictures of events removed because of VA_EVIDENCE_MAX_GB"
)
EVIDENCE_SIZE = Gauge(
    "videoanalysis_evidence_size_bytes", "Bytes of all pictures of events in the database, at the last count"
)
LOSSES = Counter("videoanalysis_source_losses", "Times that a live source was lost, or could not be opened")
STORE_SECONDS = Histogram(
    "videoanalysis_store_seconds",
    "Time to store one batch; of a live source, with up to 0.2 s of waiting for those of the others",
)
ENDED = Counter("videoanalysis_runs_ended", "Runs that ended on this runner", ["how"])


def count(batch: Batch) -> None:
    """Count a stored batch."""
    FRAMES.inc(batch.end - batch.start)
    SAMPLED.inc(len(batch.predictions))
    FAILED.inc(sum(prediction.error is not None for prediction in batch.predictions))
    DETECTIONS.inc(sum(len(prediction.detections) for prediction in batch.predictions))
    if batch.analysis is not None:
        pictures = pictures_by_frame(batch.analysis.pictures).values()
        PICTURES.inc(len(pictures))
        PICTURE_BYTES.inc(sum(len(picture.jpeg) for picture in pictures))
