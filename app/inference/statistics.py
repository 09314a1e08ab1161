"""What a model has computed, as the protocol's statistics extension and as Prometheus metrics."""

import time
from collections import defaultdict
from typing import Any

from msgspec import Struct
from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "videoanalysis_inference_requests", "Requests to infer, by model and status", ["model", "status"]
)
QUEUE_SECONDS = Histogram(
    "videoanalysis_inference_queue_seconds", "Time that a request waited for a core or a batch", ["model"]
)
COMPUTE_SECONDS = Histogram(
    "videoanalysis_inference_compute_seconds", "Time to compute a request, with those of its batch", ["model"]
)
PICTURES = Histogram(
    "videoanalysis_inference_batch", "Pictures that were computed at once", buckets=(1, 2, 4, 8, 16, 32, 64)
)
WAITING = Gauge("videoanalysis_inference_waiting", "Requests that wait for a core")


class Duration(Struct):
    """How often something happened, and how long it took in all."""

    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        """Count one more."""
        self.count += 1
        self.ns += round(seconds * 1e9)


class Statistics:
    """The statistics of one model since it was loaded."""

    def __init__(self) -> None:
        self._last = 0
        self._pictures = self._executions = 0
        self._success, self._fail = Duration(), Duration()
        self._queue, self._compute = Duration(), Duration()
        self._batches: defaultdict[int, Duration] = defaultdict(Duration)

    def count_request(self, seconds: float, *, succeeded: bool) -> None:
        """Count a request that was answered after `seconds`."""
        (self._success if succeeded else self._fail).add(seconds)

    def count_queue(self, seconds: float) -> None:
        """Count a request that waited for `seconds`."""
        self._queue.add(seconds)

    def count_batch(self, pictures: int, seconds: float) -> None:
        """Count pictures that were computed at once, which took `seconds`."""
        self._last = round(time.time() * 1000)
        self._pictures += pictures
        self._executions += 1
        self._compute.add(seconds)
        self._batches[pictures].add(seconds)
        PICTURES.observe(pictures)

    def as_message(self, name: str, version: str) -> dict[str, Any]:
        """Return the answer to `GET /v2/models/{name}/stats`."""
        return {
            "model_stats": [
                {
                    "name": name,
                    "version": version,
                    "last_inference": self._last,  # milliseconds of Unix time
                    "inference_count": self._pictures,
                    "execution_count": self._executions,
                    "inference_stats": {
                        "success": self._success,
                        "fail": self._fail,
                        "queue": self._queue,
                        "compute_infer": self._compute,
                    },
                    "batch_stats": [
                        {"batch_size": pictures, "compute_infer": duration}
                        for pictures, duration in sorted(self._batches.items())
                    ],
                }
            ]
        }
