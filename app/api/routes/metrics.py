"""Prometheus text: this process's own metrics, and the number of scenarios in each state."""

from collections import Counter
from collections.abc import Mapping
from typing import get_args

import structlog
from anyio import move_on_after
from litestar import Response, get
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from ...domain.reason import Reason, ReasonCode
from ...domain.states import State
from ...postgres import TRANSIENT
from .. import examples
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..options import ApiDeps
from ..queries.deliveries import ChannelInfo, list_channels
from ..queries.progress import list_stored_progress
from ..queries.reasons import NO_SPACE, list_reasons
from ..queries.scenarios import count_by_state, find_unended

log = structlog.get_logger(__name__)

_TIMEOUT = 1.0  # seconds
_MAX_WAITING = 10_000  # scenarios without a runner whose reasons are counted


@get(
    "/metrics",
    doc=OperationDoc(
        id="metrics",
        tag="service",
        summary="Metrics in Prometheus' text format",
        description=(
            "Each process returns its own metrics. The numbers of scenarios by state and by reason are the"
            " same from every api process."
        ),
        responses={200: ResponseDoc("The metrics.", str, examples.METRICS, media_type="text/plain")},
    ),
)
async def metrics(request: ApiRequest) -> Response[bytes]:
    """Return the metrics. If a database does not answer, those that need it are left out."""
    text = generate_latest(REGISTRY)
    if (deps := request.open_deps) is not None:
        text += _disk(deps) + await _scenarios(deps, request.options.heartbeat_timeout)
        text += await _deliveries(deps, request.options.channels)
    return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


def _disk(deps: ApiDeps) -> bytes:
    if deps.disk_space is None:
        return b""
    registry = CollectorRegistry()
    Gauge(
        "videoanalysis_disk_free_bytes",
        "Free space on the disk of the embedded server's databases",
        registry=registry,
    ).set(deps.disk_space.free_bytes())
    return generate_latest(registry)


async def _deliveries(deps: ApiDeps, channels: Mapping[str, str]) -> bytes:
    if not channels:
        return b""
    found: list[ChannelInfo] = []
    with move_on_after(_TIMEOUT):
        try:
            found = await list_channels(deps.predictions, list(channels.items()))
        except TRANSIENT as error:
            log.warning("deliveries are missing from the metrics", error=repr(error))
    registry = CollectorRegistry()
    gauge = Gauge(
        "videoanalysis_deliveries",
        "Messages that wait for a channel, or were given up in the last 7 days",
        ["channel", "state"],
        registry=registry,
    )
    for channel in found:
        gauge.labels(channel.name, "pending").set(channel.waiting)
        gauge.labels(channel.name, "dead").set(channel.dead)
    return generate_latest(registry)


async def _scenarios(deps: ApiDeps, heartbeat_timeout: float) -> bytes:
    counts: dict[str, int] = {}
    reasons: Counter[str] = Counter()
    with move_on_after(_TIMEOUT) as deadline:
        try:
            counts = await count_by_state(deps.scenarios)
            rows = await find_unended(deps.scenarios, _MAX_WAITING)
            stored = await list_stored_progress(deps.predictions, [row["id"] for row in rows])
            found = await list_reasons(deps.scenarios, rows, stored, heartbeat_timeout)
            if full_since := deps.full_since():
                found = {row["id"]: Reason("no_space", NO_SPACE, full_since) for row in rows}
            reasons.update(reason.code for reason in found.values())
        except TRANSIENT as error:
            log.warning("scenarios are missing from the metrics", error=repr(error))
            return b""
    if deadline.cancelled_caught:
        return b""
    registry = CollectorRegistry()
    gauge = Gauge("videoanalysis_scenarios", "Scenarios by state", ["state"], registry=registry)
    for state in State:
        gauge.labels(state).set(counts.get(state, 0))
    held_up = Gauge(
        "videoanalysis_scenarios_held_up",
        "Scenarios that cannot go on at the moment, by reason",
        ["reason"],
        registry=registry,
    )
    for code in get_args(ReasonCode):
        held_up.labels(code).set(reasons[code])
    return generate_latest(registry)
