"""Open what the roles share: the databases, which may be on an embedded server, and the bus."""

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from time import monotonic

import asyncpg
import structlog
from anyio import sleep
from msgspec import Struct

from . import predictions, scenarios
from .bus import Bus, BusError
from .bus.delivery import RetryPolicy
from .bus.kafka.bus import open_kafka_bus
from .bus.kafka.connection import KafkaSecurity
from .bus.memory import open_memory_bus
from .domain.redaction import redact
from .postgres import TRANSIENT, Database, MigrationError, migrate, open_database, wait_for_schema
from .postgres.embedded.disk_space import DiskSpace
from .postgres.embedded.errors import EmbeddedServerError
from .postgres.embedded.server import embedded_server
from .settings import Role, Settings
from .supervision import StartError, cancelled_at_exit

log = structlog.get_logger(__name__)

_DATABASE_PATIENCE = 60.0  # seconds that a start waits for a database which does not answer
_ADDRESS = "write postgresql://user:password@host:5432/database, and in a password %2F for /, %40 for @"

Opening = Callable[[str], AbstractAsyncContextManager[Database]]


class DatabaseSpec(Struct, frozen=True):
    """One of the two databases: the role that owns it brings its schema up to date."""

    name: str
    owner: Role
    package: str

    @property
    def variable(self) -> str:
        """The setting that holds its address."""
        return f"VA_{self.name.upper()}_DSN"


SCENARIOS = DatabaseSpec("scenarios", "orchestrator", scenarios.__name__)
PREDICTIONS = DatabaseSpec("predictions", "runner", predictions.__name__)


def _open_pool(dsn: str) -> AbstractAsyncContextManager[Database]:
    return open_database(dsn, size=10)


class Resources:
    """The databases and the bus of one process. What it opens is closed when `stack` is.

    `wait_for` is told in plain words what is waited for next.
    """

    def __init__(self, settings: Settings, stack: AsyncExitStack, wait_for: Callable[[str], None]) -> None:
        self._settings = settings
        self._stack = stack
        self._wait_for = wait_for
        self._dsns: dict[DatabaseSpec, str] = {}
        self.disk_space: DiskSpace | None = None
        """Of the embedded server, if there is one."""

    async def prepare_databases(self, needed: Iterable[DatabaseSpec]) -> None:
        """Find or start the servers of these databases, and bring their schemas up to date.

        Raises StartError.
        """
        self._dsns = await self._addresses(list(dict.fromkeys(needed)))
        for spec, dsn in self._dsns.items():
            self._wait_for(f"the {spec.name} database")
            await self._prepare(spec, dsn)

    def dsn(self, spec: DatabaseSpec) -> str:
        """Return the address of a prepared database."""
        return self._dsns[spec]

    async def pool(self, spec: DatabaseSpec, opening: Opening = _open_pool) -> Database:
        """Open a connection pool to a prepared database, and keep watch over its server."""
        database = await self._stack.enter_async_context(opening(self._dsns[spec]))
        group = await self._stack.enter_async_context(cancelled_at_exit())
        group.start_soon(database.watch)
        return database

    async def bus(self) -> Bus:
        """Open the bus that VA_BUS names. Raises StartError."""
        self._wait_for("the bus")
        try:
            return await self._stack.enter_async_context(_open_bus(self._settings))
        except BusError as error:
            raise StartError(str(error)) from error

    async def _addresses(self, needed: list[DatabaseSpec]) -> dict[DatabaseSpec, str]:
        """Return the addresses of these databases; those without a setting are on an embedded server."""
        settings = self._settings
        dsns = {SCENARIOS: settings.scenarios_dsn, PREDICTIONS: settings.predictions_dsn}
        given = {spec: dsn for spec in needed if (dsn := dsns[spec]) is not None}
        embedded = [spec.name for spec in needed if spec not in given]
        if not embedded:
            return given
        self._wait_for("the database server")
        try:
            server = await self._stack.enter_async_context(
                embedded_server(
                    settings.data_dir / "postgres", databases=embedded, binaries=settings.postgres_bin
                )
            )
        except EmbeddedServerError as error:
            raise StartError(str(error)) from error
        self.disk_space = DiskSpace(settings.data_dir)
        group = await self._stack.enter_async_context(cancelled_at_exit())
        group.start_soon(server.watch)
        return {spec: given.get(spec) or server.dsn(spec.name) for spec in needed}

    async def _prepare(self, spec: DatabaseSpec, dsn: str) -> None:
        """Migrate the database, or wait until its owner has. Raises StartError."""
        try:
            if spec.owner in self._settings.roles:
                await _migrate(spec, dsn)
            else:
                await wait_for_schema(dsn, spec.package, patience=_DATABASE_PATIENCE)
        except TRANSIENT as error:
            raise StartError(
                f"the database of {spec.variable} ({redact(dsn)}) does not answer: {error}; check the"
                " address, and that its server runs"
            ) from error
        except (asyncpg.PostgresError, MigrationError) as error:
            raise StartError(f"the database of {spec.variable} cannot be used: {error}") from error
        except ValueError as error:
            # Python's own message about a wrong address may quote a part of the password.
            reason = str(error) if isinstance(error, asyncpg.InterfaceError) else _ADDRESS
            raise StartError(f"{spec.variable} is not the address of a database: {reason}") from None


async def _migrate(spec: DatabaseSpec, dsn: str) -> None:
    """Apply the migrations, and wait for a server that is still starting.

    Raises the last error of TRANSIENT after 60 seconds without an answer.
    """
    deadline = monotonic() + _DATABASE_PATIENCE
    while True:
        try:
            if applied := await migrate(dsn, spec.package):
                log.info("migrated", database=spec.name, applied=len(applied), last=applied[-1])
        except TRANSIENT as error:
            if monotonic() > deadline:
                raise
            log.warning("waiting for a database", variable=spec.variable, error=str(error))
        else:
            return
        await sleep(1)


def _open_bus(settings: Settings) -> AbstractAsyncContextManager[Bus]:
    retry = RetryPolicy(max_deliveries=settings.max_deliveries, transient=TRANSIENT)
    if settings.bus == "memory":
        return open_memory_bus(retry)
    return open_kafka_bus(
        settings.kafka_bootstrap_servers,
        retry,
        security=kafka_security(settings),
        prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
    )


def kafka_security(settings: Settings) -> KafkaSecurity:
    """Return how to authenticate to Kafka."""
    return KafkaSecurity(
        protocol=settings.kafka_security_protocol,
        mechanism=settings.kafka_sasl_mechanism,
        username=settings.kafka_username,
        password=settings.kafka_password,
        ca_file=_text(settings.kafka_ca_file),
        certificate_file=_text(settings.kafka_certificate_file),
        key_file=_text(settings.kafka_key_file),
    )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
