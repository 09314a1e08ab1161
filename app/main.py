"""The composition root: settings → databases → bus → roles → one Litestar `app`.

Launch it with `uvicorn app.main:app`; `make run` is that with set-up.
"""

import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import asyncpg
import structlog
from anyio import Event, create_task_group, sleep
from litestar import Litestar
from prometheus_client import disable_created_metrics

from app import __version__, logs
from app.api import ApiDeps, ApiOptions, create_app, serve
from app.bus.memory import open_memory_bus
from app.lifespan import StartError, on_termination, said_in_one_line, start, tasks
from app.messages import Instance
from app.orchestrator import run_orchestrator
from app.orchestrator.leader import Timing
from app.orchestrator.leadership import AlreadyRunningError
from app.postgres import TRANSIENT, MigrationError, migrate, open_database
from app.postgres.embedded import EmbeddedServerError, embedded_server
from app.runner.run import Tools
from app.runner.service import Runner
from app.settings import Settings, SettingsError, load

log = structlog.get_logger(__name__)

_DATABASE_PATIENCE = 60.0


@asynccontextmanager
async def run_roles(settings: Settings, stopping: Event, app: Litestar) -> AsyncGenerator[None, None]:
    """Everything between the server's start and its end: what is opened last is closed first.

    Raises StartError.
    """
    async with AsyncExitStack() as stack:
        scenarios_dsn, predictions_dsn = await _open_servers(settings, stack)
        await _prepare(scenarios_dsn, "VA_SCENARIOS_DSN", "app.orchestrator")
        await _prepare(predictions_dsn, "VA_PREDICTIONS_DSN", "app.runner")
        scenarios = await stack.enter_async_context(open_database(scenarios_dsn, size=10))
        predictions = await stack.enter_async_context(open_database(predictions_dsn, size=10))
        bus = await stack.enter_async_context(
            open_memory_bus(max_deliveries=settings.max_deliveries, transient=TRANSIENT)
        )
        group = await stack.enter_async_context(tasks())
        timing = Timing(settings.heartbeat_interval, settings.heartbeat_timeout)
        try:
            orchestrate = partial(run_orchestrator, scenarios_dsn, scenarios, bus, timing, alone=True)
            await start(group, "orchestrator", orchestrate)
        except AlreadyRunningError as error:
            raise StartError(str(error)) from error
        await start(group, "api", partial(serve, app, ApiDeps(scenarios, predictions, bus)))
        # This group is left once the runner has handed its runs back, which the others still hear.
        leaving = await stack.enter_async_context(create_task_group())
        stack.callback(stopping.set)
        runner = Runner(
            Instance(settings.runner_id, uuid4()),
            settings.runner_slots,
            bus,
            Tools(predictions, settings.media_root, settings.model_root, workers=_detecting_threads()),
            heartbeat_interval=settings.heartbeat_interval,
        )
        await start(leaving, "runner", partial(runner.run, stopping))
        yield


async def _open_servers(settings: Settings, stack: AsyncExitStack) -> tuple[str, str]:
    """The addresses of both databases; those that were not given are on a server of our own."""
    given = (settings.scenarios_dsn, settings.predictions_dsn)
    if all(given):
        return str(given[0]), str(given[1])
    names = ("scenarios", "predictions")
    try:
        server = await stack.enter_async_context(
            embedded_server(
                settings.data_dir / "postgres",
                databases=[name for name, dsn in zip(names, given, strict=True) if dsn is None],
                binaries=settings.postgres_bin,
            )
        )
    except EmbeddedServerError as error:
        raise StartError(str(error)) from error
    group = await stack.enter_async_context(tasks())
    group.start_soon(server.watch)
    return given[0] or server.dsn(names[0]), given[1] or server.dsn(names[1])


async def _prepare(dsn: str, variable: str, package: str) -> None:
    """Bring a database's schema up to date, waiting a while for a server that is still starting."""
    deadline = time.monotonic() + _DATABASE_PATIENCE
    while True:
        try:
            for name in await migrate(dsn, package):
                log.info("migrated", package=package, migration=name)
        except TRANSIENT as error:
            if time.monotonic() > deadline:
                raise StartError(f"the database of {variable} does not answer: {error}") from error
            log.warning("waiting for a database", variable=variable, error=str(error))
        except (asyncpg.PostgresError, MigrationError) as error:
            raise StartError(f"the database of {variable} cannot be used: {error}") from error
        else:
            return
        await sleep(1)


def _detecting_threads() -> int:
    return max(1, min(4, os.cpu_count() or 1))


def build(settings: Settings) -> Litestar:
    """The application of these settings; nothing is opened before its lifespan begins."""
    stopping = Event()
    options = ApiOptions(
        version=__version__,
        api_keys=settings.api_keys,
        heartbeat_timeout=settings.heartbeat_timeout,
        shutting_down=stopping,
    )

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncGenerator[None, None]:
        began = time.monotonic()
        with on_termination(stopping):
            async with run_roles(settings, stopping, app):
                log.info(
                    "ready",
                    docs=f"http://{settings.host}:{settings.port}/docs",
                    roles=",".join(sorted(settings.roles)),
                    bus=settings.bus,
                    data=str(settings.data_dir.resolve()),
                    seconds=round(time.monotonic() - began, 1),
                )
                yield

    return create_app(options, lifespan=[lifespan])


def _start() -> Litestar:
    try:
        settings = load(os.environ, Path(".env"))
        for folder in (settings.media_root, settings.model_root):
            folder.mkdir(parents=True, exist_ok=True)
    except (SettingsError, OSError) as error:
        sys.exit(f"videoanalysis: {error}")
    disable_created_metrics()  # type: ignore[no-untyped-call]
    logs.configure(settings.log_format, settings.log_level)
    # A busy thread hands the interpreter over after 0.5 ms rather than 5: decoding and inference let go of
    # it at every call, and would wait as long each time to get it back.
    sys.setswitchinterval(0.0005)
    return build(settings)


app = said_in_one_line(_start())
