"""Connecting to Kafka: security, options of the clients, and a probe that waits for a broker."""

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

_RETRY = 1.0  # seconds
# Errors that waiting does not fix, and what they mean for the user.
_REJECTIONS: dict[type[Exception], str] = {
    errors.SaslAuthenticationFailed: "the user name or the password is wrong",
    errors.UnsupportedSaslMechanismError: "its brokers do not support this SASL mechanism",
    errors.IllegalSaslStateError: "its brokers do not ask for a password (see the security protocol)",
    errors.IncompatibleBrokerVersion: "its brokers are too old",
    ssl.SSLError: "the TLS connection to its brokers fails",
}


class KafkaSecurity(Struct, frozen=True, kw_only=True):
    """How to authenticate. The files are PEM files; without a CA file, the system's CAs are trusted."""

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
    """Return the options of every aiokafka client.

    Raises:
        BusError: a certificate or key cannot be read.
    """
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # aiokafka logs every failed request of an outage; this package logs once that there is an outage.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    context = None
    if security.protocol.endswith("SSL"):
        try:
            context = create_ssl_context(
                cafile=security.ca_file, certfile=security.certificate_file, keyfile=security.key_file
            )
        except OSError as error:
            raise BusError(
                f"the certificate or key for Kafka cannot be read: {error};"
                " check VA_KAFKA_CA_FILE, VA_KAFKA_CERTIFICATE_FILE and VA_KAFKA_KEY_FILE"
            ) from error
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


async def connect_admin(options: dict[str, Any], timeout: float) -> AIOKafkaAdminClient:
    """Return an admin client, connected to a broker. Wait up to `timeout` seconds for one that answers.

    Raises:
        BusError: no broker answers in time, or every broker that answers rejects this client.
    """
    servers = ", ".join(options["bootstrap_servers"])
    deadline = time.monotonic() + timeout
    while True:
        try:
            await probe(options)
            admin = AIOKafkaAdminClient(**options)
            await admin.start()
        except tuple(_REJECTIONS) as error:
            reason = next(text for kind, text in _REJECTIONS.items() if isinstance(error, kind))
            raise BusError(f"Kafka at {servers} cannot be used: {reason} ({_one_line(error)})") from error
        except (OSError, errors.KafkaError) as error:
            if time.monotonic() > deadline:
                raise BusError(
                    f"no Kafka broker answers at {servers}: {_one_line(error)};"
                    " start one, or correct VA_KAFKA_BOOTSTRAP_SERVERS"
                ) from error
            log.warning("waiting for Kafka", servers=servers, error=_one_line(error))
        else:
            return admin
        await sleep(_RETRY)


async def probe(options: dict[str, Any]) -> None:
    """Connect to any of the brokers and disconnect. aiokafka's own start hides why brokers reject a client.

    Raises the error of the last broker, or a rejection if there was one.
    """
    options = dict(options)
    hosts = collect_hosts(options.pop("bootstrap_servers"))
    del options["retry_backoff_ms"]
    failures: list[Exception] = []
    for host, port, _ in hosts:
        connection = AIOKafkaConnection(host, port, **options)
        try:
            await connection.connect()
        except OSError as error:
            failures.append(error)
        except errors.KafkaError as error:
            failures.append(error)
            await _close(connection)
        else:
            return await _close(connection)
    raise next((error for error in failures if isinstance(error, tuple(_REJECTIONS))), failures[-1])


async def _close(connection: AIOKafkaConnection) -> None:
    with move_on_after(1):
        await connection.close()


def _one_line(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())
