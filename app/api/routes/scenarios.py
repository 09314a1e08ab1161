"""Read scenarios."""

from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get
from litestar.params import FromPath
from msgspec import Meta, Struct

from ...domain.redaction import redact
from ...domain.states import Outcome, State
from .. import examples
from ..http.cursors import make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_CURSOR, BAD_REQUEST, NOT_FOUND, ProblemError, no_scenario
from ..http.requests import ApiRequest
from ..http.responses import JsonResponse
from ..queries import scenarios as queries
from ..queries.filters import (
    AgePosition,
    NamePosition,
    Order,
    ScenarioCounts,
    ScenarioFilter,
    ScenarioPosition,
    count_scenarios,
)
from ..queries.scenarios import Scenario, ScenarioPage


class ScenarioQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /scenarios."""

    state: Annotated[State | None, Meta(description="only scenarios in this state")] = None
    name: Annotated[str | None, Meta(description="only scenarios with exactly this name")] = None
    tag: Annotated[str | None, Meta(description="only scenarios that have this tag")] = None
    outcome: Annotated[Outcome | None, Meta(description="only scenarios that ended so")] = None
    source: Annotated[
        str | None, Meta(description="only scenarios with exactly this source, which must have no password")
    ] = None
    text: Annotated[
        Annotated[str, Meta(min_length=1, max_length=200)] | None,
        Meta(
            description="only scenarios with this in their name, a tag, the path of their file or the host of"
            " their address, in small or large letters; addresses with a login are not searched"
        ),
    ] = None
    live: Annotated[
        bool | None, Meta(description="only scenarios whose source is live, or only those of recordings")
    ] = None
    ended: Annotated[
        bool | None, Meta(description="only scenarios that have ended, or only those that have not")
    ] = None
    order: Annotated[
        Order,
        Meta(
            description="desc: newest first; asc: oldest first; name, name-desc: by name, in small letters,"
            " and those without one by the path of their file or the host of their address"
        ),
    ] = "desc"
    batch: Annotated[UUID | None, Meta(description="only scenarios of this batch")] = None
    found: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1000)] | None,
        Meta(
            description="only scenarios that have stored a detection with exactly this label; those that ask"
            " the footage of another one store none"
        ),
    ] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of items in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None


_POSITIONS: dict[Order, type[ScenarioPosition]] = {
    "asc": AgePosition,
    "desc": AgePosition,
    "name": NamePosition,
    "name-desc": NamePosition,
}

# Else one could find out the password of a source by trying.
_NO_LOGIN = "`source` must have no password: list scenarios by `name` or `tag` instead."


@get(
    "/scenarios",
    doc=OperationDoc(
        id="listScenarios",
        tag="scenarios",
        summary="List scenarios",
        description="A page ends early, with `next_cursor` set, once its scenarios hold near 4 MB.",
        query=ScenarioQuery,
        responses={200: ResponseDoc("A page of scenarios.", ScenarioPage, examples.SCENARIO_PAGE)},
        problems={
            BAD_CURSOR: "Send `cursor` exactly as `next_cursor` returned it, with the same filters.",
            BAD_REQUEST: _NO_LOGIN,
        },
    ),
)
async def list_scenarios(request: ApiRequest) -> ScenarioPage:
    """Return a page."""
    query = request.parameters(ScenarioQuery)
    if query.source is not None and redact(query.source) != query.source:
        raise ProblemError(BAD_REQUEST, _NO_LOGIN, field="source")
    wanted = ScenarioFilter(
        query.state,
        query.name,
        query.tag,
        query.outcome,
        query.source,
        query.text,
        query.live,
        query.ended,
        query.order,
        query.batch,
        query.found,
    )
    bound = ("scenarios", wanted)
    after = None if query.cursor is None else read_cursor(query.cursor, bound, _POSITIONS[query.order])
    deps = request.deps
    items, more = await queries.list_scenarios(
        deps.scenarios,
        deps.predictions,
        wanted,
        after,
        query.limit,
        request.options.heartbeat_timeout,
    )
    items = [queries.with_space_reason(item, deps.full_since()) for item in items]
    return ScenarioPage(items, None if more is None else make_cursor(more, bound))


@get(
    "/scenarios/counts",
    doc=OperationDoc(
        id="countScenarios",
        tag="scenarios",
        summary="Count scenarios by state and outcome",
        responses={200: ResponseDoc("The counts.", ScenarioCounts, examples.SCENARIO_COUNTS)},
    ),
)
async def get_counts(request: ApiRequest) -> ScenarioCounts:
    """Return how many scenarios there are."""
    return await count_scenarios(request.deps.scenarios)


@get(
    "/scenarios/{scenario_id:uuid}",
    doc=OperationDoc(
        id="getScenario",
        tag="scenarios",
        summary="Get one scenario, with its progress",
        responses={200: ResponseDoc("The scenario.", Scenario, examples.SCENARIO)},
        problems={NOT_FOUND: examples.NO_SCENARIO},
    ),
)
async def get_scenario(request: ApiRequest, scenario_id: FromPath[UUID]) -> JsonResponse:
    """Return the scenario. Raises ProblemError (404) if there is none."""
    deps, cache = request.deps, request.response_cache
    row = await queries.find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    parts = ("attempt", "updated_at", "name", "tags", "dated", "replaced_by")
    key = repr([row[part] for part in parts]).encode()
    body = cache.get(scenario_id, key)
    if body is None:
        timeout = request.options.heartbeat_timeout
        scenario = await queries.to_scenario(row, deps.scenarios, deps.predictions, timeout)
        body = msgspec.json.encode(queries.with_space_reason(scenario, deps.full_since()))
        if row["outcome"] == "completed":
            cache.put(scenario_id, key, body)
    return JsonResponse(body)
