"""Read what this service is made of: for the page that says what is wrong."""

from typing import Annotated, Literal

from anyio import Lock, create_task_group, current_time
from litestar import get
from msgspec import Meta, Struct

from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..options import ApiDeps
from ..queries.system import DatabaseInfo, describe_database

_MAX_AGE = 10.0  # seconds for which the databases' sizes are used again: they are sums over files


class System(Struct, frozen=True):
    """The service, as the api process that answers sees it."""

    version: str
    bus: Annotated[Literal["memory", "kafka"], Meta(description="memory: all of it is one process")]
    databases: list[DatabaseInfo]
    free_bytes: Annotated[
        int | None, Meta(description="on the disk of VA_DATA_DIR; null if the databases are on other servers")
    ]
    takes_uploads: Annotated[bool, Meta(description="whether PUT /media/uploads/{name} is on")]


_EXAMPLE = System(
    "0.2.0",
    "memory",
    [
        DatabaseInfo("scenarios", True, "17.6", 9_043_507),
        DatabaseInfo("predictions", True, "17.6", 412_614_195),
    ],
    81_203_412_992,
    takes_uploads=True,
)


@get(
    "/system",
    doc=OperationDoc(
        id="getSystem",
        tag="service",
        summary="Read version, bus, and sizes of the databases",
        description=(
            "GET /runners lists the runners, GET /channels the channels, and GET /health/ready says what is"
            " waited for."
        ),
        responses={200: ResponseDoc("The service.", System, _EXAMPLE)},
    ),
)
async def get_system(request: ApiRequest) -> System:
    """Return what this process knows. A database that does not answer is told as such, not an error."""
    options, deps = request.options, request.deps
    sizes: DatabaseSizes = request.app.state.database_sizes
    return System(
        version=options.version,
        bus=options.bus,
        databases=await sizes.describe(deps),
        free_bytes=None if deps.disk_space is None else deps.disk_space.free_bytes(),
        takes_uploads=options.uploads is not None,
    )


class DatabaseSizes:
    """Asks both databases at most every 10 seconds, however many pages are open."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._described_at = float("-inf")
        self._found: list[DatabaseInfo] = []

    async def describe(self, deps: ApiDeps) -> list[DatabaseInfo]:
        """Return both databases. One that did not answer is asked again by each call."""
        async with self._lock:
            is_old = current_time() - self._described_at >= _MAX_AGE
            if is_old or not all(database.answers for database in self._found):
                found: dict[str, DatabaseInfo] = {}

                async def describe(name: Literal["scenarios", "predictions"]) -> None:
                    found[name] = await describe_database(name, getattr(deps, name))

                async with create_task_group() as tasks:
                    tasks.start_soon(describe, "scenarios")
                    tasks.start_soon(describe, "predictions")
                self._found = [found["scenarios"], found["predictions"]]
                self._described_at = current_time()
        return self._found
