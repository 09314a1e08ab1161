"""Health: is this process alive, and can it serve?"""

from typing import Literal

from anyio import create_task_group, move_on_after
from litestar import Response, get
from msgspec import Struct

from ...postgres import TRANSIENT, Database
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest

_TIMEOUT = 0.9  # seconds, of the two in which every request is answered


class Liveness(Struct, frozen=True):
    """This process answers."""

    status: Literal["alive"] = "alive"


class Readiness(Struct, frozen=True):
    """Whether this process can serve, and what it waits for where it cannot."""

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
    """Always 200."""
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
    """200 or 503."""
    waiting_for: list[str] = []
    if request.options.shutting_down.is_set():
        waiting_for.append("nothing: it is shutting down")
    elif (reason := request.options.waiting_for()) is not None:
        waiting_for.append(reason)
    if (deps := request.app.state.deps) is not None:
        async with create_task_group() as tasks:
            tasks.start_soon(_check, "scenarios", deps.scenarios, waiting_for)
            tasks.start_soon(_check, "predictions", deps.predictions, waiting_for)
    elif request.app.state.needs_deps and not waiting_for:
        waiting_for.append("its databases and its bus to open")
    return Response(Readiness(not waiting_for, waiting_for), status_code=503 if waiting_for else 200)


async def _check(name: str, database: Database, waiting_for: list[str]) -> None:
    with move_on_after(_TIMEOUT):
        try:
            async with database.connection() as connection:
                await connection.execute("SELECT 1")
        except TRANSIENT:
            pass
        else:
            return
    waiting_for.append(f"the {name} database does not answer")
