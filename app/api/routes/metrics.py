"""Prometheus text: this process's own counters, and the scenarios by state."""

from functools import cache
from typing import get_args

import structlog
from anyio import move_on_after
from litestar import Response, get
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ...postgres import TRANSIENT, Database
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..queries.scenarios import State, count_by_state

log = structlog.get_logger(__name__)

_REQUESTS = Counter("videoanalysis_http_requests", "HTTP requests", ["route", "method", "status"])
_DURATION = Histogram(
    "videoanalysis_http_request_seconds", "Time to answer, event streams left out", ["route", "method"]
)
_TIMEOUT = 1.0


@cache
def requests_of(route: str, method: str, status: int) -> Counter:
    """What counts such requests. Each is kept for ever."""
    return _REQUESTS.labels(route, method, str(status))


@cache
def duration_of(route: str, method: str) -> Histogram:
    """What the seconds are told to that such requests took. Each is kept for ever."""
    return _DURATION.labels(route, method)


@get(
    "/metrics",
    doc=OperationDoc(
        id="metrics",
        tag="service",
        summary="Metrics in Prometheus' text format",
        description="Every process tells of itself; scenarios by state are the same from every api process.",
        responses={
            200: ResponseDoc(
                "The metrics.", str, 'videoanalysis_scenarios{state="active"} 4.0\n', media_type="text/plain"
            )
        },
    ),
)
async def metrics(request: ApiRequest) -> Response[bytes]:
    """Never fails for a database: what it cannot tell is left out."""
    text = generate_latest(REGISTRY)
    deps = request.app.state.deps
    if deps is not None:
        text += await _scenarios(deps.scenarios)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def _scenarios(database: Database) -> bytes:
    counts: dict[str, int] = {}
    with move_on_after(_TIMEOUT) as deadline:
        try:
            counts = await count_by_state(database)
        except TRANSIENT as error:
            log.warning("scenarios are missing from the metrics", error=repr(error))
            return b""
    if deadline.cancelled_caught:
        return b""
    registry = CollectorRegistry()
    gauge = Gauge("videoanalysis_scenarios", "Scenarios by state", ["state"], registry=registry)
    for state in get_args(State):
        gauge.labels(state).set(counts.get(state, 0))
    return generate_latest(registry)
