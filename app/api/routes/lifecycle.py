"""Create, change, stop, start and delete scenarios."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from anyio import CancelScope, current_time
from litestar import Response, delete, patch, post
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from ...domain.tags import Tags, distinct
from ...messages import (
    DeleteScenario,
    ScenarioCommand,
    StartScenario,
    StopScenario,
    UpdateScenario,
)
from ...postgres import TRANSIENT
from .. import examples
from ..commands import Accepted, send_command
from ..hidden_login import complete_login
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    CONFLICT,
    INVALID,
    JSON_BODY,
    MISMATCH,
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
    no_scenario,
)
from ..http.requests import ApiRequest
from ..new_scenario import IdempotencyKey, NewScenario, check_date, check_tags, choose_id, creation_of
from ..queries.scenarios import Scenario, find_scenario

_ANSWER_TIMEOUT = 1.5  # seconds for a command and a query of what it did
_REPEAT = "Repeat the request."
_ACCEPTED = "Accepted. GET the scenario to see when it is done."
_ID_DELETED = "The scenario with this id was deleted, and ids are never reused. Choose another id."

_LOCATION_DOC = {"Location": "The path of the scenario."}
_ACCEPTED_DOC = ResponseDoc(
    "The command is safe, but was not handled, or its effect could not be read, within a short time. GET the"
    " scenario to see it.",
    Accepted,
    Accepted(examples.SCENARIO.id, _ACCEPTED),
    headers=_LOCATION_DOC,
)


@post(
    "/scenarios",
    doc=OperationDoc(
        id="createScenario",
        tag="scenarios",
        summary="Create a scenario and start it",
        description=(
            "A repeated request with the same `Idempotency-Key` or `id` and the same body creates nothing"
            " more, and is answered with 201 and the scenario as it is by then. Tags are not compared: they"
            " can be changed.\n\n"
            "With `replaces`, the new scenario takes the place of another one, for example to move a zone of"
            " a camera: the other one is stopped, and its name, tags and list of events are carried on. A"
            " source that hides its login (`***`), as answers show it, is that of the other one."
        ),
        headers={"Idempotency-Key": IdempotencyKey},
        body=NewScenario,
        body_examples=examples.NEW_SCENARIOS,
        responses={
            201: ResponseDoc(
                "Created, by this request or an earlier equal one.",
                Scenario,
                examples.SCENARIO,
                headers=_LOCATION_DOC,
            ),
            202: _ACCEPTED_DOC,
        },
        problems=JSON_BODY
        | {
            NOT_FOUND: "There is no scenario with the id in `source`. GET /scenarios lists all ids.",
            CONFLICT: _ID_DELETED,
            INVALID: "`sampling.fps` must be a number greater than 0.",
            MISMATCH: "This id belongs to a scenario with another source. Choose another id or key.",
            UNAVAILABLE: "The command may not have been received. Repeat the request unchanged: at most one"
            " scenario is created.",
        },
    ),
)
async def create_scenario(request: ApiRequest) -> Response[Scenario] | Response[Accepted]:
    """Return 201 with the scenario, or 202 if it cannot be read in time."""
    new = await request.content(NewScenario)
    new.check(request.options.channels)
    new = await complete_login(request, new)
    key = request.headers.get("idempotency-key")
    scenario_id = choose_id(request.auth, key, new.id)
    is_repeatable = key is not None or new.id is not None
    how = "unchanged" if is_repeatable else f'with "id": "{scenario_id}" in its body'
    scenario = await _send_and_read(
        request,
        creation_of(new, scenario_id),
        repeat=f"Repeat the request {how}: at most one scenario is created.",
        missing=ProblemError(CONFLICT, _ID_DELETED, scenario_id=scenario_id),
    )
    if scenario is None:
        return _accepted(request, scenario_id)
    return Response(scenario, status_code=201, headers=_location(request, scenario_id))


@post(
    "/scenarios/{scenario_id:uuid}/stop",
    status_code=200,
    doc=OperationDoc(
        id="stopScenario",
        tag="scenarios",
        summary="Stop a scenario",
        description="What it stored stays. To stop one that is stopped or has ended changes nothing.",
        responses={
            200: ResponseDoc("The scenario, stopping.", Scenario, examples.SCENARIO),
            202: _ACCEPTED_DOC,
        },
        problems={NOT_FOUND: examples.NO_SCENARIO, UNAVAILABLE: examples.COMMAND_LOST},
    ),
)
async def stop_scenario(
    request: ApiRequest, scenario_id: FromPath[UUID]
) -> Response[Scenario] | Response[Accepted]:
    """Return 200 with the scenario, or 202 if it cannot be read in time."""
    return await _change(request, StopScenario(uuid4(), scenario_id))


@post(
    "/scenarios/{scenario_id:uuid}/start",
    status_code=200,
    doc=OperationDoc(
        id="startScenario",
        tag="scenarios",
        summary="Start a scenario again",
        description="It resumes after its last stored frame. To begin anew, create another scenario.",
        responses={
            200: ResponseDoc("The scenario, starting.", Scenario, examples.SCENARIO),
            202: _ACCEPTED_DOC,
        },
        problems={
            NOT_FOUND: examples.NO_SCENARIO,
            CONFLICT: "It is still stopping: wait until its state is inactive, then start it.",
            UNAVAILABLE: examples.COMMAND_LOST,
        },
    ),
)
async def start_scenario(
    request: ApiRequest, scenario_id: FromPath[UUID]
) -> Response[Scenario] | Response[Accepted]:
    """Return 200 with the scenario, or 202 if it cannot be read in time."""
    request.response_cache.evict(scenario_id)
    return await _change(request, StartScenario(uuid4(), scenario_id))


class ScenarioPatch(Struct, frozen=True, forbid_unknown_fields=True):
    """What can be changed of a scenario, as a JSON merge patch (RFC 7396): what is left out stays."""

    name: Annotated[str, Meta(max_length=200)] | UnsetType | None = UNSET
    tags: Annotated[
        Tags | UnsetType | None, Meta(description="all tags that it has from then on; null: none")
    ] = UNSET
    recorded_at: Annotated[
        Annotated[datetime, Meta(tz=True)] | UnsetType | None,
        Meta(description="the date at which the recording begins; null: it is not known"),
    ] = UNSET


@patch(
    "/scenarios/{scenario_id:uuid}",
    doc=OperationDoc(
        id="updateScenario",
        tag="scenarios",
        summary="Change a scenario's name, tags and date",
        description=(
            "The body is a JSON merge patch (RFC 7396): a field that is left out stays, and null removes it."
            " What a scenario analyses never changes: create another one that `replaces` it.\n\n"
            "`recorded_at` can be changed if the scenario is inactive and its source is not live. The dates"
            " (`at`) of stored events follow within seconds, 1,000 events at a time; messages that were sent"
            " keep theirs."
        ),
        body=ScenarioPatch,
        body_examples={
            "another name": ScenarioPatch(name="front door"),
            "other tags": ScenarioPatch(tags=("outside", "gate 2")),
            "another date": ScenarioPatch(recorded_at=datetime(2026, 1, 31, 8, 30, tzinfo=UTC)),
        },
        responses={200: ResponseDoc("The scenario.", Scenario, examples.SCENARIO), 202: _ACCEPTED_DOC},
        problems=JSON_BODY
        | {
            NOT_FOUND: examples.NO_SCENARIO,
            CONFLICT: "It runs: wait until its state is inactive, or stop it, then change `recorded_at`.",
            INVALID: "`source` is not known; check its spelling.",
            UNAVAILABLE: examples.COMMAND_LOST,
        },
    ),
)
async def update_scenario(
    request: ApiRequest, scenario_id: FromPath[UUID]
) -> Response[Scenario] | Response[Accepted]:
    """Return 200 with the scenario, or 202 if it cannot be read in time."""
    change = await request.content(ScenarioPatch)
    name = None if change.name is UNSET else change.name or ""
    tags = None if change.tags is UNSET else distinct(change.tags or ())
    check_tags(tags)
    check_date(change.recorded_at)
    return await _change(request, UpdateScenario(uuid4(), scenario_id, name, tags, change.recorded_at))


@delete(
    "/scenarios/{scenario_id:uuid}",
    status_code=202,
    doc=OperationDoc(
        id="deleteScenario",
        tag="scenarios",
        summary="Delete a scenario with its predictions",
        responses={
            204: ResponseDoc("Deleted; its predictions are removed in the background."),
            202: _ACCEPTED_DOC,
        },
        problems={
            NOT_FOUND: examples.NO_SCENARIO,
            CONFLICT: "It is not inactive: stop it and wait until its state is inactive, then delete it.",
            UNAVAILABLE: examples.COMMAND_LOST,
        },
    ),
)
async def delete_scenario(
    request: ApiRequest, scenario_id: FromPath[UUID]
) -> Response[None] | Response[Accepted]:
    """Return 204, or 202 if the command was not handled in time."""
    request.response_cache.evict(scenario_id)
    if not await _send(request, DeleteScenario(uuid4(), scenario_id), _REPEAT):
        return _accepted(request, scenario_id)
    return Response(None, status_code=204)


async def _change(request: ApiRequest, command: ScenarioCommand) -> Response[Scenario] | Response[Accepted]:
    scenario_id = command.scenario_id
    scenario = await _send_and_read(request, command, repeat=_REPEAT, missing=no_scenario(scenario_id))
    return _accepted(request, scenario_id) if scenario is None else Response(scenario)


async def _send_and_read(
    request: ApiRequest, command: ScenarioCommand, *, repeat: str, missing: ProblemError
) -> Scenario | None:
    """Return the scenario after a command, or None if that takes too long. Raises `missing` if gone."""
    deadline = current_time() + _ANSWER_TIMEOUT
    if await _send(request, command, repeat):
        deps = request.deps
        with suppress(*TRANSIENT), CancelScope(deadline=deadline):
            scenario = await find_scenario(
                deps.scenarios,
                deps.predictions,
                command.scenario_id,
                request.options.heartbeat_timeout,
            )
            if scenario is None:
                raise missing
            return scenario
    return None


async def _send(request: ApiRequest, command: ScenarioCommand, repeat: str) -> bool:
    # Without a query for the scenario first: one that was just accepted may not be stored yet, and commands
    # for one scenario are handled in order.
    return await send_command(request.deps, request.options, command, repeat)


def _accepted(request: ApiRequest, scenario_id: UUID) -> Response[Any]:
    return Response(
        Accepted(scenario_id, _ACCEPTED), status_code=202, headers=_location(request, scenario_id)
    )


def _location(request: ApiRequest, scenario_id: UUID) -> dict[str, str]:
    return {"Location": f"{request.options.path_prefix}/scenarios/{scenario_id}"}
