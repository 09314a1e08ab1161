"""Whether a service runs on the databases of these settings, and on which port."""

from socket import gethostname

import asyncpg
from anyio import to_thread
from msgspec import Struct

from ...postgres import TRANSIENT
from ...postgres.connections import open_connection
from ...postgres.embedded.errors import EmbeddedServerError
from ...postgres.embedded.server import embedded_server
from ...resources import SCENARIOS
from ...scenarios.leadership import LOCK
from ...settings import Settings

_TIMEOUT = 5.0  # seconds
_FAULTS: tuple[type[Exception], ...] = (
    OSError, ValueError, EmbeddedServerError, asyncpg.PostgresError, *TRANSIENT,
)  # fmt: skip


class OwnService(Struct, frozen=True):
    """The service on the databases of these settings. `port`: its port, None if it cannot be told."""

    is_running: bool
    port: int | None = None


async def find_own_service(settings: Settings) -> OwnService | None:
    """Return whether a service runs on the databases of these settings; None if it cannot be told."""
    if "orchestrator" not in settings.roles:
        return None
    try:
        if settings.scenarios_dsn is not None:
            return await _ask(settings.scenarios_dsn, settings)
        folder = settings.data_dir / "postgres"
        if not await to_thread.run_sync((folder / "data").exists):
            return OwnService(is_running=False)
        async with embedded_server(folder, databases=(), binaries=settings.postgres_bin) as server:
            return await _ask(server.dsn(SCENARIOS.name), settings)
    except asyncpg.InvalidCatalogNameError:  # it was never started
        return OwnService(is_running=False)
    except _FAULTS:  # of which the database's own check tells
        return None


async def _ask(dsn: str, settings: Settings) -> OwnService:
    is_led = """
        SELECT EXISTS (
            SELECT FROM pg_locks
             WHERE locktype = 'advisory' AND granted AND objsubid = 1
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (classid::bigint << 32 | objid::bigint) = $1
        )
    """
    alive = """
        SELECT runner_id FROM runners
         WHERE left_at IS NULL AND NOT superseded
           AND heartbeat_at > clock_timestamp() - make_interval(secs => $1)
    """
    async with open_connection(dsn, timeout=_TIMEOUT) as connection:
        if not await connection.fetchval(is_led, LOCK):
            return OwnService(is_running=False)
        if settings.bus != "memory" or not await connection.fetchval("SELECT to_regclass('runners')"):
            return OwnService(is_running=True)  # of the ports of a fleet, this one is not the only one
        rows = await connection.fetch(alive, settings.heartbeat_timeout)
    # Unless VA_RUNNER_ID names it otherwise, the runner of a service is named after its machine and port.
    names = [row["runner_id"].rpartition(":") for row in rows]
    ports = [int(port) for host, _, port in names if host == gethostname() and port.isdecimal()]
    return OwnService(is_running=True, port=ports[0] if len(ports) == 1 else None)
