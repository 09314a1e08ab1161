"""What happened to one scenario, and what happens to all of them now."""

from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Meta, Struct

from ..http.cursors import NumberPosition, make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_CURSOR, BAD_REQUEST, NOT_FOUND, TOO_MANY_STREAMS, no_scenario
from ..http.requests import ApiRequest
from ..queries.history import EXAMPLE, ChangePage, list_changes
from ..queries.scenarios import exists


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What GET /scenarios/{id}/events is asked for."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="at most so many a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the page before")] = None


@get(
    "/scenarios/{scenario_id:uuid}/events",
    doc=OperationDoc(
        id="listScenarioEvents",
        tag="events",
        summary="Read a scenario's history, oldest first",
        query=HistoryQuery,
        responses={200: ResponseDoc("A page of changes.", ChangePage, ChangePage([EXAMPLE], None))},
        problems={
            BAD_CURSOR: "Give `cursor` exactly as `next_cursor` returned it, with the same path.",
            NOT_FOUND: "There is no such scenario. GET /scenarios lists those that exist.",
        },
    ),
)
async def get_history(request: ApiRequest, scenario_id: FromPath[UUID]) -> ChangePage:
    """A page, oldest first."""
    query = request.parameters(HistoryQuery)
    bound = ("events", scenario_id)
    after = 0 if query.cursor is None else read_cursor(query.cursor, bound, NumberPosition).value
    scenarios = request.deps.scenarios
    if not await exists(scenarios, scenario_id):
        raise no_scenario(scenario_id)
    items, more = await list_changes(scenarios, scenario_id, after, query.limit)
    return ChangePage(items, None if more is None else make_cursor(NumberPosition(more), bound))


EventId = Annotated[
    str,
    Meta(pattern=r"^\d{1,20}-\d{1,19}$", description="the last event seen; browsers send it by themselves"),
]
_STREAM = """\
retry: 2000
id: 811-0

event: scenario
id: 812-41
data: {"id":"812-41","scenario_id":"0198f1c2-…","from":"in_startup_processing","to":"active","attempt":1,…}

event: progress
data: {"scenario_id":"0198f1c2-…","attempt":1,"source_state":"open","progress":{"percent":41.5,…}}

"""


@get(
    "/events",
    doc=OperationDoc(
        id="streamEvents",
        tag="events",
        summary="Follow every change as server-sent events",
        description=(
            "`scenario` events are changes, as in a scenario's history, each once and in order; `progress`"
            " events come about once a second for each scenario that a runner holds, and carry no id. A"
            " client that reconnects with the last id it saw, to any api process, misses no change. Without"
            " one the stream begins now."
        ),
        headers={"Last-Event-ID": EventId},
        responses={200: ResponseDoc("The stream.", str, _STREAM, media_type="text/event-stream")},
        problems={
            BAD_REQUEST: "Last-Event-ID is no event of this service. Connect without it.",
            TOO_MANY_STREAMS: "At most 100 streams may be open. Close one, or try again later.",
        },
    ),
)
async def stream_events(request: ApiRequest) -> Stream:
    """The stream, until the client leaves or the service stops."""
    stream = await request.feed.open(request.headers.get("last-event-id"))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(stream, media_type="text/event-stream", headers=headers)
