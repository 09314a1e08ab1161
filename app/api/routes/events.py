"""Read what happened in the videos: events of one scenario, and of all."""

from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from msgspec import Meta, Struct, json

from ...domain.event import EventKind, EventState
from .. import examples
from ..http.cursors import make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_CURSOR, GONE, NOT_FOUND, ProblemError, no_event, no_scenario
from ..http.requests import ApiRequest
from ..http.responses import JsonResponse
from ..queries.event_counts import EventCounts, count_events
from ..queries.events import (
    ClockPosition,
    EventFilter,
    EventPage,
    Order,
    StoragePosition,
    StoredEvent,
    VideoPosition,
    find_event,
    list_dated_events,
    list_events,
    list_stored_events,
)
from ..queries.evidence import with_pictures
from ..queries.footage import asked_scenario, find_footage
from ..queries.scenarios import exists, find_row, list_succession
from ..video_times import Time, check_times, to_date, to_seconds

_Label = Annotated[str, Meta(min_length=1, max_length=1000)]
_Name = Annotated[str, Meta(min_length=1, max_length=100)]


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of GET /events."""

    kind: Annotated[EventKind | None, Meta(description="only events of this kind")] = None
    label: Annotated[_Label | None, Meta(description="only events with this label")] = None
    name: Annotated[
        _Name | None, Meta(description="only events of the zones, lines and alert rules of this name")
    ] = None
    state: Annotated[EventState | None, Meta(description="only events in this state")] = None
    from_time: Annotated[
        Time | None,
        Meta(
            description="only events that began from this time on, as RFC 3339, such as 2026-01-31T09:30:00Z,"
            " or in seconds of Unix time; events of recordings without `at` are left out"
        ),
    ] = None
    to_time: Annotated[
        Time | None, Meta(description="only events that began before this time, like `from_time`")
    ] = None
    order: Annotated[
        Order,
        Meta(description="asc: oldest first; by `at` if a time is given, else in the order of storing"),
    ] = "asc"
    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of items in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None

    def filter(self) -> EventFilter:
        """Return the filters alone, without the times."""
        return EventFilter(kind=self.kind, label=self.label, name=self.name, state=self.state)


class ScenarioEventsQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of GET /scenarios/{id}/events."""

    kind: Annotated[EventKind | None, Meta(description="only events of this kind")] = None
    label: Annotated[_Label | None, Meta(description="only events with this label")] = None
    name: Annotated[
        _Name | None, Meta(description="only events of the zone, line or alert rule of this name")
    ] = None
    track: Annotated[
        Annotated[int, Meta(ge=1, le=2**63 - 1)] | None,
        Meta(description="only events of the object with this `track_id`"),
    ] = None
    state: Annotated[EventState | None, Meta(description="only events in this state")] = None
    from_time: Annotated[
        Time | None,
        Meta(
            description="only events that began from this time on, in seconds; of a live source also as RFC"
            " 3339, such as 2026-01-31T09:30:00Z"
        ),
    ] = None
    to_time: Annotated[
        Time | None, Meta(description="only events that began before this time, like `from_time`")
    ] = None
    order: Annotated[Order, Meta(description="asc: in the order in which they began")] = "asc"
    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of items in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None

    def filter(self) -> EventFilter:
        """Return the filters alone, without the times."""
        return EventFilter(
            kind=self.kind, label=self.label, name=self.name, track_id=self.track, state=self.state
        )


_LOST_PLACE = "The scenario at which this page begins was deleted. Read the list from its beginning."
_WRONG_CURSOR = "Send `cursor` exactly as `next_cursor` returned it, with the same path and filters."


@get(
    "/scenarios/{scenario_id:uuid}/events",
    doc=OperationDoc(
        id="listScenarioEvents",
        tag="results",
        summary="Read what happened in a scenario's video",
        description=(
            "Events are stays of objects, visits to zones, crossings of lines, from when to when a label was"
            " visible, and alerts. An event that goes on is `open`, and is told as it is so far. An event is"
            " known a few frames after it began, so a new one may be listed before others. The events of the"
            " scenarios that this one replaced come before its own, and have their `scenario_id`."
        ),
        query=ScenarioEventsQuery,
        responses={200: ResponseDoc("A page of events.", EventPage, examples.EVENT_PAGE)},
        problems={BAD_CURSOR: _WRONG_CURSOR, NOT_FOUND: examples.NO_SCENARIO},
    ),
)
async def get_scenario_events(request: ApiRequest, scenario_id: FromPath[UUID]) -> EventPage:
    """Return a page, in the order of their beginning. Raises ProblemError (404) if there is no scenario."""
    query = request.parameters(ScenarioEventsQuery)
    wanted, between = query.filter(), (to_seconds(query.from_time), to_seconds(query.to_time))
    bound = ("scenario events", scenario_id, wanted, between, query.order)
    after = None if query.cursor is None else read_cursor(query.cursor, bound, VideoPosition)
    deps = request.deps
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    is_dated = None
    if asked_scenario(row) is not None:
        footage = await find_footage(deps.predictions, scenario_id)
        is_dated = footage is None or footage.is_live
    check_times(row, is_dated=is_dated, from_time=query.from_time, to_time=query.to_time)
    scenario_ids = await list_succession(deps.scenarios, scenario_id)
    if query.order == "asc":
        scenario_ids.reverse()
    if after is not None and after.scenario_id not in scenario_ids:
        raise ProblemError(BAD_CURSOR, _LOST_PLACE, field="cursor")
    items, more = await list_events(
        deps.predictions, scenario_ids, wanted, between, query.order, after, query.limit
    )
    items = await with_pictures(deps.predictions, items, request.options.path_prefix)
    return EventPage(items, None if more is None else make_cursor(more, bound))


@get(
    "/scenarios/{scenario_id:uuid}/events/counts",
    doc=OperationDoc(
        id="countEvents",
        tag="results",
        summary="Count what happened in a scenario's video",
        description=(
            "For each kind, name and label of events: how many there are. Those of kind `object` are the"
            " objects that were followed: 3 persons who come and go are 3, in however many frames they are"
            " seen. The events of scenarios that this one replaced are not counted."
        ),
        responses={200: ResponseDoc("The counts.", EventCounts, examples.EVENT_COUNTS)},
        problems={NOT_FOUND: examples.NO_SCENARIO},
    ),
)
async def get_event_counts(request: ApiRequest, scenario_id: FromPath[UUID]) -> JsonResponse:
    """Return the counts. Raises ProblemError (404) if there is no scenario."""
    deps, cache = request.deps, request.response_cache
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    # Events of a scenario that asks the footage of another one can become too old.
    is_final = row["outcome"] == "completed" and asked_scenario(row) is None
    body = cache.get(scenario_id, b"event counts") if is_final else None
    if body is None:
        body = json.encode(await count_events(deps.predictions, scenario_id))
        if is_final:
            cache.put(scenario_id, b"event counts", body)
    return JsonResponse(body)


@get(
    "/scenarios/{scenario_id:uuid}/events/{event_id:int}",
    doc=OperationDoc(
        id="getEvent",
        tag="results",
        summary="Read one event",
        description=(
            "It is as in GET /scenarios/{id}/events. Events of the scenarios that this one replaced are read"
            " with their `scenario_id`."
        ),
        responses={200: ResponseDoc("The event.", StoredEvent, examples.EVENT_PAGE.items[0])},
        problems={NOT_FOUND: examples.NO_SCENARIO},
    ),
)
async def get_event(request: ApiRequest, scenario_id: FromPath[UUID], event_id: FromPath[int]) -> StoredEvent:
    """Return the event. Raises ProblemError (404) if there is no scenario, or no such event."""
    deps = request.deps
    if not await exists(deps.scenarios, scenario_id):
        raise no_scenario(scenario_id)
    event = await find_event(deps.predictions, scenario_id, event_id)
    if event is None:
        raise no_event(scenario_id, event_id)
    [event] = await with_pictures(deps.predictions, [event], request.options.path_prefix)
    return event


@get(
    "/events",
    doc=OperationDoc(
        id="listEvents",
        tag="results",
        summary="Read what happened in all videos",
        description=(
            "With `from_time` or `to_time`, these are the events whose time of day is known (`at`), in its"
            " order. Without, they are all events in the order of storing. A page may have fewer items than"
            " `limit`, or none, while the events of a deleted scenario are being removed: `next_cursor` is"
            " null on the last page."
        ),
        query=EventsQuery,
        responses={200: ResponseDoc("A page of events.", EventPage, examples.EVENT_PAGE)},
        problems={
            BAD_CURSOR: _WRONG_CURSOR,
            GONE: "The stream of changes moved: use GET /stream.",
        },
    ),
)
async def get_events(request: ApiRequest) -> EventPage:
    """Return a page. Raises ProblemError (410) if the client wants the stream that was here once."""
    if "text/event-stream" in request.headers.get("accept", ""):
        place = f"{request.options.path_prefix}/stream"
        detail = f"The stream of changes moved: use GET {place}."
        raise ProblemError(GONE, detail, headers={"Location": place})
    query = request.parameters(EventsQuery)
    wanted, between = query.filter(), (to_date(query.from_time), to_date(query.to_time))
    deps = request.deps
    more: StoragePosition | ClockPosition | None
    if between == (None, None):
        bound: tuple[object, ...] = ("events", wanted, query.order)
        stored = None if query.cursor is None else read_cursor(query.cursor, bound, StoragePosition)
        items, more = await list_stored_events(
            deps.scenarios, deps.predictions, wanted, query.order, stored, query.limit
        )
    else:
        bound = ("dated events", wanted, between, query.order)
        dated = None if query.cursor is None else read_cursor(query.cursor, bound, ClockPosition)
        items, more = await list_dated_events(
            deps.scenarios, deps.predictions, wanted, between, query.order, dated, query.limit
        )
    items = await with_pictures(deps.predictions, items, request.options.path_prefix)
    return EventPage(items, None if more is None else make_cursor(more, bound))
