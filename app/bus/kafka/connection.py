"""How Kafka's brokers are reached, and whether they let this process in."""

import logging
import ssl
import time
from collections.abc import Sequence
from typing import Any, Literal

import structlog
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.helpers import create_ssl_context
from anyio import move_on_after, sleep
from msgspec import Struct

from .. import BusError

log = structlog.get_logger(__name__)

# What no waiting mends, and what it means.
_REFUSALS: dict[type[Exception], str] = {
    errors.SaslAuthenticationFailed: "the user name or the password is wrong",
    errors.UnsupportedSaslMechanismError: "its brokers take no passwords that way (SASL mechanism)",
    errors.IllegalSaslStateError: "its brokers ask for no password (security protocol)",
    errors.IncompatibleBrokerVersion: "its brokers are too old",
    ssl.SSLError: "TLS with its brokers fails",
}


class KafkaSecurity(Struct, frozen=True, kw_only=True):
    """What the brokers ask for; files are paths of PEM files, and no CA file means the system's."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    username: str = ""
    password: str = ""
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None

    def __repr__(self) -> str:
        return f"KafkaSecurity({self.protocol})"


def client_options(servers: Sequence[str], client_id: str, security: KafkaSecurity) -> dict[str, Any]:
    """What every aiokafka client takes. Raises BusError for a certificate or key that cannot be read."""
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # It tells of every failed request of an outage; that there is one is told here, once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    context = None
    if security.protocol.endswith("SSL"):
        try:
            context = create_ssl_context(
                cafile=security.ca_file, certfile=security.certificate_file, keyfile=security.key_file
            )
        except OSError as error:
            raise BusError(f"the certificate or key for Kafka cannot be used: {error}") from error
    return {
        "bootstrap_servers": list(servers),
        "client_id": client_id,
        "request_timeout_ms": 10_000,
        "retry_backoff_ms": 200,
        "security_protocol": security.protocol,
        "ssl_context": context,
        "sasl_mechanism": security.mechanism,
        "sasl_plain_username": security.username,
        "sasl_plain_password": security.password,
    }


async def reach(options: dict[str, Any], patience: float) -> AIOKafkaAdminClient:
    """A client of brokers that let this process in; for one that answers it waits `patience` seconds.

    Raises BusError, at once where every broker that answers refuses.
    """
    servers = ", ".join(options["bootstrap_servers"])
    deadline = time.monotonic() + patience
    while True:
        try:
            await _knock(options)
            admin = AIOKafkaAdminClient(**options)
            await admin.start()
        except tuple(_REFUSALS) as error:
            reason = next(text for kind, text in _REFUSALS.items() if isinstance(error, kind))
            raise BusError(f"Kafka at {servers} cannot be used: {reason} ({_said(error)})") from error
        except (OSError, errors.KafkaError) as error:
            if time.monotonic() > deadline:
                raise BusError(f"no Kafka broker answers at {servers}: {_said(error)}") from error
            log.warning("waiting for Kafka", servers=servers, error=_said(error))
        else:
            return admin
        await sleep(1)


async def _knock(options: dict[str, Any]) -> None:
    """Connect to any one of the brokers. Raises what the last of them did, before that a refusal."""
    options = dict(options)
    hosts = collect_hosts(options.pop("bootstrap_servers"))
    del options["retry_backoff_ms"]
    faults: list[Exception] = []
    for host, port, _ in hosts:
        connection = AIOKafkaConnection(host, port, **options)
        try:
            await connection.connect()
        except OSError as error:
            faults.append(error)
        except errors.KafkaError as error:
            faults.append(error)
            await _close(connection)
        else:
            return await _close(connection)
    raise next((fault for fault in faults if isinstance(fault, tuple(_REFUSALS))), faults[-1])


async def _close(connection: AIOKafkaConnection) -> None:
    with move_on_after(1):
        await connection.close()


def _said(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
