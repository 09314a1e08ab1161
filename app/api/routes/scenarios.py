"""Scenarios: create, list, look, stop, start, delete."""

from contextlib import suppress
from hashlib import sha256
from typing import Annotated, Any
from uuid import UUID, uuid4, uuid5

import msgspec
from anyio import CancelScope, current_time
from litestar import Response, delete, get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from ...domain.detector_config import Marker, Mock, Motion
from ...domain.source import SourceError, parse_source
from ...domain.spec import EveryFrame, FixedRate, RestartPolicy, ScenarioSpec
from ...messages import CreateScenario, DeleteScenario, OrchestratorCommand, StartScenario, StopScenario
from ...postgres import TRANSIENT
from ..commands import send_command
from ..http.cursors import make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    BAD_CURSOR,
    BAD_REQUEST,
    CONFLICT,
    INVALID,
    MISMATCH,
    NOT_FOUND,
    TOO_LARGE,
    TOO_SLOW,
    UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    no_scenario,
)
from ..http.requests import ApiRequest
from ..http.responses import JsonResponse
from ..queries import scenarios as views
from ..queries.scenarios import Scenario, ScenarioPage, ScenarioPosition, State

_NAMESPACE = UUID("342c4fd4-5a93-4828-8f6c-f2a537fb714a")
_MAX_KEY = 200

IdempotencyKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=_MAX_KEY,
        description="a text of the client's choice; the scenario's id follows from it and the caller",
    ),
]


class NewScenario(ScenarioSpec, frozen=True):
    """What to analyse, with what, and how."""

    id: Annotated[UUID | None, Meta(description="chosen by the client, so that repeating is safe")] = None

    def spec(self) -> ScenarioSpec:
        """The same without the id."""
        return msgspec.convert(self, ScenarioSpec, from_attributes=True)


class Accepted(Struct, frozen=True):
    """The command cannot be lost any more, and will be handled."""

    id: UUID
    detail: str


class ScenarioQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """What GET /scenarios is asked for."""

    state: Annotated[State | None, Meta(description="only scenarios in this state")] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="at most so many a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the page before")] = None


_LOCATION = {"Location": "Where the scenario is."}
_ACCEPTED = ResponseDoc(
    "Safe, but not handled, or not shown by the databases, within a short wait. GET the scenario to see it.",
    Accepted,
    Accepted(views.EXAMPLE.id, "Accepted. GET the scenario to see when it is done."),
    headers=_LOCATION,
)
_REPEAT = "Repeat the request."
_LOST = f"The command may not have been received. {_REPEAT}"
_ANSWER_WITHIN = 1.5  # seconds for a command and a look at what it did
_NO_SUCH = {NOT_FOUND: f"There is no scenario {views.EXAMPLE.id}. GET /scenarios lists those that exist."}


@post(
    "/scenarios",
    doc=OperationDoc(
        id="createScenario",
        tag="scenarios",
        summary="Create a scenario and start it",
        description=(
            "Repeating the request with the same `Idempotency-Key` or `id` and the same body creates nothing"
            " more and answers 201 with the scenario as it is by then."
        ),
        headers={"Idempotency-Key": IdempotencyKey},
        body=NewScenario,
        body_examples={
            "every frame of a recording": NewScenario(
                "clip.mp4", Marker(), sampling=EveryFrame(), name="front door"
            ),
            "two frames a second of a camera": NewScenario(
                "rtsp://camera.local/stream",
                Motion(),
                sampling=FixedRate(2.0),
                restart=RestartPolicy(policy="always"),
            ),
            "a trial without a video": NewScenario("test:testsrc2", Mock(seed=1)),
        },
        responses={
            201: ResponseDoc(
                "Created, or created by an earlier such request.", Scenario, views.EXAMPLE, headers=_LOCATION
            ),
            202: _ACCEPTED,
        },
        problems={
            BAD_REQUEST: "The body is no valid JSON: trailing comma in object at line 1, column 23.",
            CONFLICT: "The scenario of this id was deleted, and ids are never used again. Choose another.",
            TOO_SLOW: "The body has to arrive within 20 seconds.",
            TOO_LARGE: "A request body may have at most 1 MB.",
            UNSUPPORTED_MEDIA_TYPE: "Send the body as JSON with the header `Content-Type: application/json`.",
            INVALID: "`sampling.fps` must be a number greater than 0.",
            MISMATCH: "This id belongs to a scenario with another source. Choose another id or key.",
            UNAVAILABLE: f"{_LOST[:-1]} with the same Idempotency-Key: it creates one scenario at most.",
        },
    ),
)
async def create_scenario(request: ApiRequest) -> Response[Scenario] | Response[Accepted]:
    """201 with the scenario, or 202 where it cannot be shown in time."""
    new = await request.content(NewScenario)
    _check(new)
    key = request.headers.get("idempotency-key")
    scenario_id = _choose_id(request.auth, key, new.id)
    spec = new.spec()
    # The same request is the same command; the same id with another body is another command, and a mismatch.
    command_id = uuid5(scenario_id, sha256(msgspec.json.encode(spec)).hexdigest())
    if key is not None or new.id is not None:
        repeat = "Repeat the request just as it was: it creates one scenario at most."
    else:
        repeat = (
            f'Repeat the request with "id": "{scenario_id}" in its body: it creates one scenario at most.'
        )
    detail = "The scenario of this id was deleted, and ids are never used again. Choose another."
    gone = ProblemError(CONFLICT, detail, scenario_id=scenario_id)
    command = CreateScenario(command_id, scenario_id, spec)
    if scenario := await _change(request, command, repeat, gone):
        return Response(scenario, status_code=201, headers=_location(scenario_id))
    return _accepted(scenario_id)


@get(
    "/scenarios",
    doc=OperationDoc(
        id="listScenarios",
        tag="scenarios",
        summary="List scenarios, newest first",
        query=ScenarioQuery,
        responses={
            200: ResponseDoc("A page of scenarios.", ScenarioPage, ScenarioPage([views.EXAMPLE], None))
        },
        problems={BAD_CURSOR: "Give `cursor` exactly as `next_cursor` returned it, with the same filters."},
    ),
)
async def list_scenarios(request: ApiRequest) -> ScenarioPage:
    """A page, newest first."""
    query = request.parameters(ScenarioQuery)
    bound = ("scenarios", query.state)
    after = None if query.cursor is None else read_cursor(query.cursor, bound, ScenarioPosition)
    deps = request.deps
    items, more = await views.list_scenarios(
        deps.scenarios, deps.predictions, query.state, after, query.limit
    )
    return ScenarioPage(items, None if more is None else make_cursor(more, bound))


@get(
    "/scenarios/{scenario_id:uuid}",
    doc=OperationDoc(
        id="getScenario",
        tag="scenarios",
        summary="Look at one scenario, with its progress",
        responses={200: ResponseDoc("The scenario.", Scenario, views.EXAMPLE)},
        problems=_NO_SUCH,
    ),
)
async def get_scenario(request: ApiRequest, scenario_id: FromPath[UUID]) -> JsonResponse:
    """The scenario, or 404."""
    deps, kept = request.deps, request.kept
    row = await views.find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    question = f"scenario {row['attempt']} {row['updated_at']}".encode()
    answer = kept.get(scenario_id, question)
    if answer is None:
        answer = msgspec.json.encode(await views.show(row, deps.predictions))
        if row["outcome"] == "completed":
            kept.put(scenario_id, question, answer)
    return JsonResponse(answer)


@post(
    "/scenarios/{scenario_id:uuid}/stop",
    status_code=200,
    doc=OperationDoc(
        id="stopScenario",
        tag="scenarios",
        summary="Stop a scenario",
        description="What it stored stays. Stopping one that is stopped, or ended, changes nothing.",
        responses={200: ResponseDoc("The scenario, stopping.", Scenario, views.EXAMPLE), 202: _ACCEPTED},
        problems=_NO_SUCH | {UNAVAILABLE: _LOST},
    ),
)
async def stop_scenario(
    request: ApiRequest, scenario_id: FromPath[UUID]
) -> Response[Scenario] | Response[Accepted]:
    """200 with the scenario, or 202 where it cannot be shown in time."""
    return await _move(request, StopScenario(uuid4(), scenario_id))


@post(
    "/scenarios/{scenario_id:uuid}/start",
    status_code=200,
    doc=OperationDoc(
        id="startScenario",
        tag="scenarios",
        summary="Start a scenario again",
        description="It resumes after its last stored frame. To begin anew, create another scenario.",
        responses={200: ResponseDoc("The scenario, starting.", Scenario, views.EXAMPLE), 202: _ACCEPTED},
        problems=_NO_SUCH
        | {
            CONFLICT: "It is still stopping: wait until its state is inactive, then start it.",
            UNAVAILABLE: _LOST,
        },
    ),
)
async def start_scenario(
    request: ApiRequest, scenario_id: FromPath[UUID]
) -> Response[Scenario] | Response[Accepted]:
    """200 with the scenario, or 202 where it cannot be shown in time."""
    request.kept.forget(scenario_id)
    return await _move(request, StartScenario(uuid4(), scenario_id))


@delete(
    "/scenarios/{scenario_id:uuid}",
    status_code=202,
    doc=OperationDoc(
        id="deleteScenario",
        tag="scenarios",
        summary="Delete a scenario with its predictions",
        responses={204: ResponseDoc("Deleted; its predictions go in the background."), 202: _ACCEPTED},
        problems=_NO_SUCH
        | {
            CONFLICT: "It is not inactive: stop it and wait until its state is inactive, then delete it.",
            UNAVAILABLE: _LOST,
        },
    ),
)
async def delete_scenario(
    request: ApiRequest, scenario_id: FromPath[UUID]
) -> Response[None] | Response[Accepted]:
    """204, or 202 where it was not handled in time."""
    request.kept.forget(scenario_id)
    if not await _command(request, DeleteScenario(uuid4(), scenario_id)):
        return _accepted(scenario_id)
    return Response(None, status_code=204)


def _check(new: NewScenario) -> None:
    try:
        source = parse_source(new.source)
    except SourceError as error:
        message = str(error)
        raise ProblemError(INVALID, f"{message[:1].upper()}{message[1:]}.", field="source") from error
    if new.restart.policy == "always" and source.live is False:
        detail = "The restart policy `always` is for live sources. Use `on_failure` for a recording."
        raise ProblemError(INVALID, detail, field="restart.policy")


def _choose_id(caller: str, key: str | None, chosen: UUID | None) -> UUID:
    if key is None:
        return chosen or uuid4()
    if not 1 <= len(key) <= _MAX_KEY:
        detail = f"An Idempotency-Key has 1 to {_MAX_KEY} characters."
        raise ProblemError(BAD_REQUEST, detail, field="Idempotency-Key")
    derived = uuid5(_NAMESPACE, f"{caller}\n{key}")
    if chosen not in (None, derived):
        detail = f"This Idempotency-Key stands for the id {derived}. Give the key or an id, not both."
        raise ProblemError(MISMATCH, detail, field="id")
    return derived


async def _command(request: ApiRequest, command: OrchestratorCommand, repeat: str = _REPEAT) -> bool:
    # No look at the scenario first: one that was accepted a moment ago may not be stored yet, and commands
    # for one scenario are handled in order.
    return await send_command(request.deps, request.options, command, repeat)


async def _change(
    request: ApiRequest, command: OrchestratorCommand, repeat: str, gone: ProblemError
) -> Scenario | None:
    """The scenario after a command; None where that is to come, or a database cannot show it in time."""
    by = current_time() + _ANSWER_WITHIN
    if await _command(request, command, repeat):
        with suppress(*TRANSIENT), CancelScope(deadline=by):
            return await _look(request, command.scenario_id, gone)
    return None


async def _move(request: ApiRequest, command: OrchestratorCommand) -> Response[Scenario] | Response[Accepted]:
    scenario = await _change(request, command, _REPEAT, no_scenario(command.scenario_id))
    return _accepted(command.scenario_id) if scenario is None else Response(scenario)


async def _look(request: ApiRequest, scenario_id: UUID, gone: ProblemError) -> Scenario:
    deps = request.deps
    scenario = await views.find_scenario(deps.scenarios, deps.predictions, scenario_id)
    if scenario is None:
        raise gone
    return scenario


def _accepted(scenario_id: UUID) -> Response[Any]:
    body = Accepted(scenario_id, "Accepted. GET the scenario to see when it is done.")
    return Response(body, status_code=202, headers=_location(scenario_id))


def _location(scenario_id: UUID) -> dict[str, str]:
    return {"Location": f"/scenarios/{scenario_id}"}
