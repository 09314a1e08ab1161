"""What the service talks to besides its databases: the bus, its port, and who is told of events."""

from collections.abc import AsyncIterator

import asyncpg
import httpx
import msgspec
from anyio import to_thread

from ...api.routes.health import Readiness
from ...bus import BusError
from ...bus.kafka.connection import client_options, connect_admin
from ...domain.channels import ChannelFileError, parse_channels
from ...postgres import TRANSIENT
from ...postgres.connections import open_connection
from ...postgres.embedded.errors import EmbeddedServerError
from ...postgres.embedded.server import embedded_server
from ...resources import SCENARIOS, kafka_security
from ...scenarios.leadership import LOCK
from ...settings import Settings
from .finding import Finding, sentence
from .listening import find_listen_fault

_TIMEOUT = 5.0  # seconds
_FAULTS: tuple[type[Exception], ...] = (
    OSError, ValueError, EmbeddedServerError, asyncpg.PostgresError, *TRANSIENT,
)  # fmt: skip


async def check_bus(settings: Settings) -> AsyncIterator[Finding]:
    """Yield whether a broker answers, if there must be one."""
    if settings.bus == "memory":
        yield Finding("bus", "ok", "in this process: no broker is needed")
        return
    servers = settings.kafka_bootstrap_servers
    try:
        options = client_options(servers, "videoanalysis-doctor", kafka_security(settings))
        admin = await connect_admin(options, timeout=0)
    except BusError as error:
        yield Finding("bus", "fail", sentence(error))
        return
    await admin.close()
    yield Finding("bus", "ok", f"Kafka answers at {', '.join(servers)}")


async def check_port(settings: Settings) -> AsyncIterator[Finding]:
    """Yield whether the service can listen, or does already."""
    fault = await to_thread.run_sync(find_listen_fault, settings)
    if fault is None:
        yield Finding("port", "ok", f"{settings.host}:{settings.port} is free")
        return
    readiness = await _ask(settings) if fault.is_in_use else None
    if readiness is None:
        yield Finding("port", "fail", fault.text, fault.advice)
    elif not readiness.ready:
        text = f"The service at {settings.address} waits for {', '.join(readiness.waiting_for)}."
        yield Finding("port", "warn", text, "See its log.")
    elif await _has_leader(settings) is False:
        text = f"The service at {settings.address} is another one: none runs on the database of this one."
        yield Finding("port", "fail", text, fault.advice)
    else:
        yield Finding("port", "ok", f"a service runs at {settings.address}, and is ready")


async def _has_leader(settings: Settings) -> bool | None:
    """Return whether a service runs on the database of these settings, None if it cannot be told."""
    if "orchestrator" not in settings.roles:
        return None
    try:
        if settings.scenarios_dsn is not None:
            return await _is_led(settings.scenarios_dsn)
        folder = settings.data_dir / "postgres"
        if not await to_thread.run_sync((folder / "data").exists):
            return False
        async with embedded_server(folder, databases=(), binaries=settings.postgres_bin) as server:
            return await _is_led(server.dsn(SCENARIOS.name))
    except asyncpg.InvalidCatalogNameError:  # it was never started
        return False
    except _FAULTS:  # of which the database's own check tells
        return None


async def _is_led(dsn: str) -> bool:
    sql = """
        SELECT EXISTS (
            SELECT FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND objsubid = 1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (classid::bigint << 32 | objid::bigint) = $1
        )
    """
    async with open_connection(dsn, timeout=_TIMEOUT) as connection:
        found: bool = await connection.fetchval(sql, LOCK)
    return found


async def _ask(settings: Settings) -> Readiness | None:
    """Return what the service on the port says, None if it is another program."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            answer = await client.get(f"http://{host}:{settings.port}/health/ready")
        return msgspec.json.decode(answer.content, type=Readiness)
    except (httpx.HTTPError, msgspec.DecodeError, UnicodeDecodeError):
        return None


async def check_channels(settings: Settings) -> AsyncIterator[Finding]:
    """Yield whether the file of channels can be used, if there is one."""
    file = settings.channels_file
    if file is None:
        return
    try:
        text = await to_thread.run_sync(file.read_text, "utf-8")
        channels = parse_channels(text, str(file))
    except (OSError, UnicodeDecodeError, ChannelFileError) as error:
        yield Finding("channels", "fail", sentence(error), "Correct the file of VA_CHANNELS_FILE.")
        return
    yield Finding("channels", "ok", f"{', '.join(sorted(channels)) or 'none'} in {file}")
