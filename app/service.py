"""The composition root: settings → databases → bus → roles → one Litestar application."""

import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from socket import gethostname
from uuid import uuid4

import asyncpg
import structlog
from anyio import CancelScope, Event, create_task_group, sleep
from anyio.abc import TaskGroup, TaskStatus
from litestar import Litestar
from msgspec import Struct
from prometheus_client import disable_created_metrics

from . import __version__, logs, predictions, scenarios
from .allocator import share_memory
from .api import ApiDeps, ApiOptions, create_app, serve
from .api.databases import open_request_database
from .bus import Bus, BusError
from .bus.kafka.bus import open_kafka_bus
from .bus.kafka.connection import KafkaSecurity
from .bus.memory import open_memory_bus
from .messages import Instance
from .orchestrator import run_orchestrator
from .orchestrator.elector import AlreadyRunningError
from .orchestrator.leader import Timing
from .postgres import TRANSIENT, Database, MigrationError, migrate, open_database, wait_for_schema
from .postgres.embedded.server import EmbeddedServerError, embedded_server
from .process import (
    Asgi,
    StartError,
    allow_many_files,
    on_termination,
    said_in_one_line,
    start,
    start_in_background,
    tasks,
)
from .runner.run import Tools
from .runner.service import Runner
from .runner.workers import Workers
from .settings import Role, Settings, SettingsError, load

log = structlog.get_logger(__name__)

_DATABASE_PATIENCE = 60.0
_ADDRESS = "write postgresql://user:password@host:5432/database, and in a password %2F for /, %40 for @"


class Kind(Struct, frozen=True):
    """One of the two databases: the role that owns it brings its schema up to date."""

    name: str
    owner: Role
    package: str

    @property
    def variable(self) -> str:
        return f"VA_{self.name.upper()}_DSN"


SCENARIOS = Kind("scenarios", "orchestrator", scenarios.__name__)
PREDICTIONS = Kind("predictions", "runner", predictions.__name__)


class Service:
    """The roles of one process, from the server's start to its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stopping = Event()
        self._waiting_for: str | None = "the start"

    def application(self) -> Litestar:
        """The application; nothing is opened before its lifespan begins."""
        options = ApiOptions(
            version=__version__,
            api_keys=self._settings.api_keys,
            rate_limit=self._settings.rate_limit,
            heartbeat_timeout=self._settings.heartbeat_timeout,
            waiting_for=lambda: self._waiting_for,
            shutting_down=self._stopping,
        )
        return create_app(options, lifespan=[self._lifespan], resources="api" in self._settings.roles)

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncGenerator[None, None]:
        with on_termination(self._stopping):
            async with create_task_group() as group:
                work = partial(self._run, app)
                if self._settings.bus == "memory":
                    await self._start(group, work)
                else:  # what it waits for may be started later than this process, which says so meanwhile
                    start_in_background(group, "service", work)
                yield
                self._stopping.set()
                if self._waiting_for is not None:
                    group.cancel_scope.cancel()

    async def _start(self, group: TaskGroup, work: Callable[..., Awaitable[None]]) -> None:
        """Return once the service is ready. Raises StartError, also where it is stopped before."""
        async with tasks() as watching:
            watching.start_soon(self._cancel_when_stopped, watching.cancel_scope)
            await start(group, "service", work)
        if self._waiting_for is not None:
            raise StartError(f"stopped while it waited for {self._waiting_for}")

    async def _cancel_when_stopped(self, scope: CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def _run(self, app: Litestar, *, task_status: TaskStatus[None]) -> None:
        """Open what the roles need, start them, and end them when the service stops: the last opened first.

        Raises StartError.
        """
        settings, roles = self._settings, self._settings.roles
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            dsns = await self._addresses(stack)
            databases = {kind: await self._open(stack, kind, dsn) for kind, dsn in dsns.items()}
            for_requests = {
                kind: await _watched(stack, open_request_database(dsn))
                for kind, dsn in dsns.items()
                if "api" in roles
            }
            self._waiting_for = "the bus"
            bus = await self._open_bus(stack)
            self._waiting_for = "the roles"
            group = await stack.enter_async_context(tasks())
            if "orchestrator" in roles:
                timing = Timing(settings.heartbeat_interval, settings.heartbeat_timeout)
                alone = settings.bus == "memory"
                orchestrate = partial(
                    run_orchestrator, dsns[SCENARIOS], databases[SCENARIOS], bus, timing, alone=alone
                )
                try:
                    await start(group, "orchestrator", orchestrate)
                except AlreadyRunningError as error:
                    raise StartError(str(error)) from error
            if "api" in roles:
                deps = ApiDeps(for_requests[SCENARIOS], for_requests[PREDICTIONS], bus)
                await start(group, "api", partial(serve, app, deps))
            # This group is left once the runner has handed its runs back, which the others still hear.
            leaving = await stack.enter_async_context(create_task_group())
            if "runner" in roles:
                runner = self._runner(bus, databases[PREDICTIONS])
                await start(leaving, "runner", partial(runner.run, self._stopping))
            self._waiting_for = None
            log.info(
                "ready",
                docs=f"http://{settings.host}:{settings.port}/docs",
                roles=",".join(sorted(roles)),
                bus=settings.bus,
                data=str(settings.data_dir.resolve()),
                seconds=round(time.monotonic() - began, 1),
            )
            task_status.started()
            await self._stopping.wait()

    def _runner(self, bus: Bus, predictions: Database) -> Runner:
        settings = self._settings
        name = settings.runner_id or f"{gethostname()}:{settings.port}"
        return Runner(
            Instance(name, uuid4()),
            settings.runner_slots,
            bus,
            Tools(
                predictions,
                settings.media_root,
                settings.model_root,
                settings.source_networks,
                Workers(os.cpu_count() or 1),
                settings.decoding,
            ),
            heartbeat_interval=settings.heartbeat_interval,
            live_retention_days=settings.live_retention_days,
        )

    async def _addresses(self, stack: AsyncExitStack) -> dict[Kind, str]:
        """Where the databases are that the roles need; those not given are on a server of our own."""
        settings = self._settings
        given = {SCENARIOS: settings.scenarios_dsn, PREDICTIONS: settings.predictions_dsn}
        needed = [kind for kind in given if {"api", kind.owner} & settings.roles]
        ours = [kind.name for kind in needed if given[kind] is None]
        if not ours:
            return {kind: dsn for kind in needed if (dsn := given[kind])}
        self._waiting_for = "the database server"
        try:
            folder = settings.data_dir / "postgres"
            server = await stack.enter_async_context(
                embedded_server(folder, databases=ours, binaries=settings.postgres_bin)
            )
        except EmbeddedServerError as error:
            raise StartError(str(error)) from error
        group = await stack.enter_async_context(tasks())
        group.start_soon(server.watch)
        return {kind: given[kind] or server.dsn(kind.name) for kind in needed}

    async def _open(self, stack: AsyncExitStack, kind: Kind, dsn: str) -> Database:
        """A pool of connections to a database whose schema is up to date. Raises StartError."""
        self._waiting_for = f"the {kind.name} database"
        try:
            if kind.owner in self._settings.roles:
                await self._bring_up_to_date(dsn, kind)
            else:
                await wait_for_schema(dsn, kind.package, patience=_DATABASE_PATIENCE)
        except TRANSIENT as error:
            raise StartError(f"the database of {kind.variable} does not answer: {error}") from error
        except (asyncpg.PostgresError, MigrationError) as error:
            raise StartError(f"the database of {kind.variable} cannot be used: {error}") from error
        except ValueError as error:
            # What Python says of an address may quote a part of the password.
            said = str(error) if isinstance(error, asyncpg.InterfaceError) else _ADDRESS
            raise StartError(f"{kind.variable} is no address of a database: {said}") from None
        return await _watched(stack, open_database(dsn, size=10))

    async def _bring_up_to_date(self, dsn: str, kind: Kind) -> None:
        """Migrate, waiting a while for a server that is still starting. Raises what the last try did."""
        deadline = time.monotonic() + _DATABASE_PATIENCE
        while True:
            try:
                for name in await migrate(dsn, kind.package):
                    log.info("migrated", database=kind.name, migration=name)
            except TRANSIENT as error:
                if time.monotonic() > deadline:
                    raise
                log.warning("waiting for a database", variable=kind.variable, error=str(error))
            else:
                return
            await sleep(1)

    async def _open_bus(self, stack: AsyncExitStack) -> Bus:
        settings = self._settings
        if settings.bus == "memory":
            return await stack.enter_async_context(
                open_memory_bus(max_deliveries=settings.max_deliveries, transient=TRANSIENT)
            )
        security = KafkaSecurity(
            protocol=settings.kafka_security_protocol,
            mechanism=settings.kafka_sasl_mechanism,
            username=settings.kafka_username,
            password=settings.kafka_password,
            ca_file=_text(settings.kafka_ca_file),
            certificate_file=_text(settings.kafka_certificate_file),
            key_file=_text(settings.kafka_key_file),
        )
        try:
            return await stack.enter_async_context(
                open_kafka_bus(
                    settings.kafka_bootstrap_servers,
                    security=security,
                    prefix=settings.kafka_topic_prefix,
                    partitions=settings.kafka_partitions,
                    replication=settings.kafka_replication,
                    max_deliveries=settings.max_deliveries,
                    transient=TRANSIENT,
                )
            )
        except BusError as error:
            raise StartError(str(error)) from error


async def _watched(stack: AsyncExitStack, opening: AbstractAsyncContextManager[Database]) -> Database:
    """Open a pool and keep watch over its server, until the stack is left."""
    database = await stack.enter_async_context(opening)
    group = await stack.enter_async_context(tasks())
    group.start_soon(database.watch)
    return database


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def create() -> Asgi:
    """Build the application from the environment and `.env`. Ends the process if a setting is wrong."""
    try:
        settings = load(os.environ, Path(".env"))
        for folder in (settings.media_root, settings.model_root):
            folder.mkdir(parents=True, exist_ok=True)
    except (SettingsError, OSError) as error:
        sys.exit(f"videoanalysis: {error}")
    disable_created_metrics()  # type: ignore[no-untyped-call]
    logs.configure(settings.log_format, settings.log_level, settings.secrets())
    allow_many_files()
    share_memory()
    # A busy thread hands the interpreter over after 0.5 ms rather than 5: decoding and inference let go of
    # it at every call, and would wait as long each time to get it back.
    sys.setswitchinterval(0.0005)
    return said_in_one_line(Service(settings).application())
