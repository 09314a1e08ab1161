"""Health: whether this process is alive, and whether it can serve."""

from typing import Literal

from anyio import Lock, create_task_group, current_time
from litestar import Response, get
from msgspec import Struct

from ...postgres import Database
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..options import ApiDeps
from ..queries.health import answers_within

_TIMEOUT = 0.9  # seconds, of the 2 in which every request is answered
_MAX_AGE = 1.0  # seconds for which an answer of the databases is used again


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
        checks: DatabaseChecks = request.app.state.database_checks
        waiting_for += await checks.faults(deps)
    elif request.app.state.has_resources and not waiting_for:
        waiting_for.append("its databases and its bus to open")
    return Response(Readiness(not waiting_for, waiting_for), status_code=503 if waiting_for else 200)


class DatabaseChecks:
    """Asks both databases at most once a second, however many probes arrive."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._checked_at = float("-inf")
        self._faults: list[str] = []

    async def faults(self, deps: ApiDeps) -> list[str]:
        """Return what is wrong with the databases, in plain words."""
        async with self._lock:
            if current_time() - self._checked_at >= _MAX_AGE:
                faults: list[str] = []
                async with create_task_group() as tasks:
                    tasks.start_soon(_check, "scenarios", deps.scenarios, faults)
                    tasks.start_soon(_check, "predictions", deps.predictions, faults)
                self._faults, self._checked_at = sorted(faults), current_time()
        if deps.full_since() is not None:
            return [*self._faults, "room on the disk of VA_DATA_DIR: no space is left"]
        return self._faults


async def _check(name: str, database: Database, faults: list[str]) -> None:
    if not await answers_within(database, _TIMEOUT):
        faults.append(f"the {name} database does not answer")
