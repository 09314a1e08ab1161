"""The history of one scenario, and the stream of changes of all."""

from math import inf
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Meta, Struct

from .. import examples
from ..change_stream import EVENT_ID
from ..http.cursors import make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    BAD_CURSOR,
    BAD_REQUEST,
    GONE,
    NOT_FOUND,
    TOO_MANY_STREAMS,
    no_scenario,
)
from ..http.requests import ApiRequest
from ..queries.history import ChangePage, HistoryPosition, list_history
from ..queries.scenarios import exists


class HistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /scenarios/{id}/history."""

    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of items in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None


@get(
    "/scenarios/{scenario_id:uuid}/history",
    doc=OperationDoc(
        id="listHistory",
        tag="changes",
        summary="Read a scenario's history, oldest first",
        description=(
            "`state` items are the transitions of the scenario. `source` items are what happened to its live"
            " source: when it was lost and why, froze, came back, or began to send pictures of another size."
            " A source that is lost and meets another error while it is tried again gets an item for it. The"
            " latest 1,000 `source` items are kept, at most for `VA_LIVE_RETENTION_DAYS`. A runner of release"
            " 0.1.0 stores none. A page ends early, with `next_cursor` set, once its texts hold near 4 MB."
        ),
        query=HistoryQuery,
        responses={200: ResponseDoc("A page of changes.", ChangePage, examples.CHANGE_PAGE)},
        problems={
            BAD_CURSOR: "Send `cursor` exactly as `next_cursor` returned it, with the same path.",
            NOT_FOUND: examples.NO_SCENARIO,
        },
    ),
)
async def get_history(request: ApiRequest, scenario_id: FromPath[UUID]) -> ChangePage:
    """Return a page, oldest first. Raises ProblemError (404) if there is no such scenario."""
    query = request.parameters(HistoryQuery)
    bound = ("history", scenario_id)
    after = HistoryPosition()
    if query.cursor is not None:
        after = read_cursor(query.cursor, bound, HistoryPosition)
    deps = request.deps
    if not await exists(deps.scenarios, scenario_id):
        raise no_scenario(scenario_id)
    items, more = await list_history(deps.scenarios, deps.predictions, scenario_id, after, query.limit)
    return ChangePage(items, None if more is None else make_cursor(more, bound))


EventId = Annotated[
    str,
    Meta(
        pattern=f"^{EVENT_ID}$",
        description="the last event that the client received; browsers send it by themselves",
    ),
]


class StreamQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /stream."""

    seconds: Annotated[
        Annotated[float, Meta(gt=0, le=86_400)] | None,
        Meta(
            description="ends the stream after this time; without it, it goes on",
            extra_json_schema={"example": 5},
        ),
    ] = None


@get(
    "/stream",
    doc=OperationDoc(
        id="streamChanges",
        tag="changes",
        summary="Follow every change as server-sent events",
        description=(
            "`scenario` events are changes, as in a scenario's history, each once and in order. `source`"
            " events are losses, returns and other changes of live sources, as in the history. `event` events"
            " are what happened in the videos, as in GET /events: when it becomes known, and when its state"
            " changes. A client that reconnects with the last id it received, to any api process, misses none"
            " of these; of an event whose state changed several times it gets the latest. `progress` events"
            " come about once a second for each scenario that a runner holds, and for the 100 that have"
            " waited longest for one; they have no id, and tell `reason` and `warnings`, too. `batch` events"
            " tell `state`, `counts`, `percent` and `problem` of each batch that goes on: a second after a"
            " change, every 10 seconds, and twice when it ends; they have no id either. Kinds may be added:"
            " leave out those that you do not know. Without an id the stream begins now. An id is refused"
            " once what it would tell is older than a day."
        ),
        headers={"Last-Event-ID": EventId},
        query=StreamQuery,
        responses={
            200: ResponseDoc("The stream.", str, examples.EVENT_STREAM, media_type="text/event-stream")
        },
        problems={
            BAD_REQUEST: "Last-Event-ID is not an event of this service. Connect without it.",
            GONE: "Changes since this Last-Event-ID are older than a day. Connect without it.",
            TOO_MANY_STREAMS: "At most 100 event streams may be open in a process, counted over all clients."
            " Close one, or try again later.",
        },
    ),
)
async def stream_changes(request: ApiRequest) -> Stream:
    """Return the stream. It ends when the client disconnects or the service stops."""
    seconds = request.parameters(StreamQuery).seconds
    last_id = request.headers.get("last-event-id")
    events = await request.change_stream.open(last_id, inf if seconds is None else seconds)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(events, media_type="text/event-stream", headers=headers)
