"""Health: whether this process is alive, and whether it can serve."""

from typing import Literal

from anyio import create_task_group
from litestar import Response, get
from msgspec import Struct

from ...postgres import Database
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..queries.health import answers_within

_TIMEOUT = 0.9  # seconds, of the 2 in which every request is answered


class Liveness(Struct, frozen=True):
    """This process answers."""

    status: Literal["alive"] = "alive"


class Readiness(Struct, frozen=True):
    """Whether this process can serve, and what it waits for if it cannot."""

    ready: bool
    waiting_for: list[str]


@get(
    "/health/live",
    doc=OperationDoc(
        id="live",
        tag="service",
        summary="Whether the process is alive",
        responses={200: ResponseDoc("It is.", Liveness, Liveness())},
        open=True,
    ),
)
async def live() -> Liveness:
    """Return 200, always."""
    return Liveness()


@get(
    "/health/ready",
    doc=OperationDoc(
        id="ready",
        tag="service",
        summary="Whether the process can serve",
        responses={
            200: ResponseDoc("It can.", Readiness, Readiness(True, [])),
            503: ResponseDoc(
                "It cannot now; the body says why.",
                Readiness,
                Readiness(False, ["the predictions database does not answer"]),
            ),
        },
        open=True,
    ),
)
async def ready(request: ApiRequest) -> Response[Readiness]:
    """Return 200, or 503 with what the process waits for."""
    waiting_for: list[str] = []
    if request.options.shutting_down.is_set():
        waiting_for.append("nothing: the service is shutting down")
    elif (reason := request.options.waiting_for()) is not None:
        waiting_for.append(reason)
    if (deps := request.open_deps) is not None:
        async with create_task_group() as tasks:
            tasks.start_soon(_check, "scenarios", deps.scenarios, waiting_for)
            tasks.start_soon(_check, "predictions", deps.predictions, waiting_for)
    elif request.app.state.has_resources and not waiting_for:
        waiting_for.append("its databases and its bus to open")
    return Response(Readiness(not waiting_for, waiting_for), status_code=503 if waiting_for else 200)


async def _check(name: str, database: Database, waiting_for: list[str]) -> None:
    if not await answers_within(database, _TIMEOUT):
        waiting_for.append(f"the {name} database does not answer")
