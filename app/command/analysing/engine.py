"""Run the roles of a service that analyses, in this process: without HTTP, beside any other service."""

import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from anyio import Event, sleep_forever
from anyio.abc import TaskStatus
from litestar import Litestar

from ...api import ApiDeps
from ...postgres.embedded.locks import FileLock
from ...resources import PREDICTIONS, SCENARIOS
from ...service import ROLES, RoleContext, RoleSpec, Service
from ...settings import Settings, load, read_dotenv
from ...supervision import StartError, Work, unwrap
from ..output import CommandError
from .options import with_options

_USED = (
    "VA_INFERENCE", "VA_INFERENCE_PRECISION", "VA_INFERENCE_URLS", "VA_INFERENCE_KEY", "VA_MODEL_ROOT",
    "VA_RUNNER_SLOTS", "VA_DECODING", "VA_SOURCE_NETWORKS", "VA_POSTGRES_BIN", "VA_LOG_LEVEL",
    "VA_LOG_FORMAT",
)  # fmt: skip
"""Settings of a service that also say how this command analyses."""


class Engine(NamedTuple):
    """What a running engine is used by. `stopping` is set when the process is asked to stop."""

    deps: ApiDeps
    stopping: Event


def engine_settings(data: Path, databases: Mapping[str, str], dotenv: Path = Path(".env")) -> Settings:
    """Return the settings of an engine whose database is in the folder `data`.

    `databases` are addresses to use instead of it, by variable. Those of a service are never used. All files
    of this machine can be sources. Raises SettingsError.
    """
    given = {**read_dotenv(dotenv), **os.environ}
    used = {name: given[name] for name in _USED if name in given}
    fixed = {
        "VA_ROLES": "api,orchestrator,runner",
        "VA_DATA_DIR": str(data),
        "VA_MEDIA_ROOT": "/",
        "VA_EVIDENCE_MAX_GB": "0",
    }
    return load({"VA_LOG_LEVEL": "warning", **used, **fixed, **databases})


@asynccontextmanager
async def running_engine(settings: Settings) -> AsyncGenerator[Engine, None]:
    """Run the orchestrator and a runner during the block; SIGTERM and SIGINT stop them in good order.

    Raises CommandError if they cannot start, or the folder is in use.
    """
    engines: list[Engine] = []

    async def open_engine(context: RoleContext) -> Work:
        """Take the place of the role `api`."""
        scenarios, predictions = [await context.resources.pool(spec) for spec in (SCENARIOS, PREDICTIONS)]
        deps = ApiDeps(scenarios, predictions, context.bus, context.resources.disk_space)
        engines.append(Engine(deps, context.stopping))
        return _wait

    roles = [role for role in ROLES if role.name in ("orchestrator", "runner")]
    roles.insert(0, RoleSpec("api", (SCENARIOS, PREDICTIONS), open_engine))
    try:
        async with Service(settings, roles).lifespan(Litestar(openapi_config=None, logging_config=None)):
            yield engines[0]
    except (StartError, ExceptionGroup) as fault:
        error = unwrap(fault)
        if not isinstance(error, StartError):
            raise
        reason = with_options(str(error))
        raise CommandError(f"{reason[:1].upper()}{reason[1:]}.") from error


async def _wait(*, task_status: TaskStatus[None]) -> None:
    task_status.started()
    await sleep_forever()


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Create the folder and keep it for this process during the block. Raises CommandError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "in-use.lock")
    except OSError as error:
        raise CommandError(
            f"The folder {folder} cannot be used: {(error.strerror or str(error)).lower()}."
            " Name another one by --data."
        ) from error
    with lock:
        if not lock.try_exclusive():
            raise CommandError(
                f"Another `videoanalysis analyze` uses the folder {folder}: wait until it has ended, or name"
                " another folder by --data."
            )
        yield
