"""The notifier's Prometheus metrics."""

from prometheus_client import Counter, Histogram

SENT = Counter("videoanalysis_deliveries_sent", "Messages that a channel acknowledged", ["channel"])
FAILED = Counter("videoanalysis_deliveries_failed", "Attempts that failed", ["channel"])
DEAD = Counter(
    "videoanalysis_deliveries_dead", "Messages that a channel refused again and again", ["channel"]
)
SEND_SECONDS = Histogram(
    "videoanalysis_delivery_seconds", "Time of an attempt, successful or not", ["channel"]
)
