"""Prometheus text: this process's own metrics, and the number of scenarios in each state."""

import structlog
from anyio import move_on_after
from litestar import Response, get
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ...domain.states import State
from ...postgres import TRANSIENT, Database
from .. import examples
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..queries.scenarios import count_by_state

log = structlog.get_logger(__name__)

_TIMEOUT = 1.0  # seconds


@get(
    "/metrics",
    doc=OperationDoc(
        id="metrics",
        tag="service",
        summary="Metrics in Prometheus' text format",
        description=(
            "Each process returns its own metrics. The number of scenarios in each state is the same from"
            " every api process."
        ),
        responses={200: ResponseDoc("The metrics.", str, examples.METRICS, media_type="text/plain")},
    ),
)
async def metrics(request: ApiRequest) -> Response[bytes]:
    """Return the metrics. If a database does not answer, those that need it are left out."""
    text = generate_latest(REGISTRY)
    if (deps := request.open_deps) is not None:
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
    for state in State:
        gauge.labels(state).set(counts.get(state, 0))
    return generate_latest(registry)
