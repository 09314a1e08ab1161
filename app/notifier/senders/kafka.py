"""A topic of Kafka: each message is acknowledged by all in-sync replicas, in order for each scenario."""

from typing import Any

from aiokafka import AIOKafkaProducer, errors
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from anyio import Lock

from ...bus import BusError
from ...bus.kafka.closing import close_producer
from ...bus.kafka.connection import KafkaSecurity, client_options, probe
from ...domain.channels import KafkaChannel
from ...domain.networks import Networks
from ..notification import OutgoingMessage
from .base import SendError
from .targets import resolve
from .tls import tls_fault

_REQUEST_SECONDS = 6.0
_FAULTS: dict[type[Exception], str] = {
    errors.SaslAuthenticationFailed: "refuses the login: check `username` and `password`",
    errors.UnsupportedSaslMechanismError: "does not support this `sasl_mechanism`",
    errors.IllegalSaslStateError: "does not ask for a password: check `security_protocol`",
    errors.ClusterAuthorizationFailedError: "does not let this user write to it",
    errors.TopicAuthorizationFailedError: "does not let this user write to the topic",
    errors.UnknownTopicOrPartitionError: "has no topic of this name: create it",
    ConnectionRefusedError: "does not accept connections",
    TimeoutError: "does not answer: check `servers`",
}


class KafkaSender:
    """Writes with an idempotent producer, which is started when it is needed and replaced after any failure.

    The servers of the channel must be on allowed networks. Which addresses their brokers have is the
    cluster's to say.
    """

    def __init__(self, channel: KafkaChannel, networks: Networks) -> None:
        self._channel = channel
        self._networks = networks
        self._starting = Lock()
        self._producer: AIOKafkaProducer | None = None

    async def send(self, message: OutgoingMessage) -> None:
        """Write the message. Its key is the scenario's id, and its header `id` that of the delivery.

        Raises SendError.
        """
        async with self._starting:
            producer = self._producer
            if producer is None:
                producer = self._producer = await self._start()
        try:
            await producer.send_and_wait(
                self._channel.topic,
                message.body,
                key=str(message.scenario_id or message.id).encode(),
                headers=[("id", str(message.id).encode()), ("type", message.type.encode())],
            )
        except MessageSizeTooLargeError as error:
            raise SendError("calls the message too large", is_rejected=True) from error
        except KafkaError as error:
            await self._retire(producer)
            raise SendError(_in_words(error, "does not take the message")) from error
        except BaseException:
            await self._retire(producer)
            raise

    async def close(self) -> None:
        """Close the connections."""
        if self._producer is not None:
            await self._retire(self._producer)

    async def _start(self) -> AIOKafkaProducer:
        for server in self._channel.servers:
            host, _, port = server.rpartition(":")
            await resolve(self._networks, host.strip("[]"), int(port))
        options = self._options()
        try:
            await probe(options)  # the producer would hide why brokers reject it
        except (KafkaError, OSError) as error:
            raise SendError(_in_words(error, "closes the connection: check `security_protocol`")) from error
        producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True, compression_type=None)
        try:
            await producer.start()
        except KafkaError as error:
            await close_producer(producer)
            raise SendError(_in_words(error, "cannot be used")) from error
        except BaseException:
            await close_producer(producer)
            raise
        return producer

    def _options(self) -> dict[str, Any]:
        channel = self._channel
        security = KafkaSecurity(
            protocol=channel.security_protocol,
            mechanism=channel.sasl_mechanism,
            username=channel.username or "",
            password=channel.password or "",
            ca_file=channel.ca_file,
        )
        try:
            options = client_options(channel.servers, "videoanalysis-notifier", security)
        except BusError as error:
            raise SendError("has a `ca_file` that cannot be read") from error
        return options | {"request_timeout_ms": int(_REQUEST_SECONDS * 1000)}

    async def _retire(self, producer: AIOKafkaProducer) -> None:
        """Close a producer; other tasks that use it fail, because a gap in its messages cannot be closed."""
        if self._producer is producer:
            self._producer = None
        await close_producer(producer)


def _in_words(error: Exception, what: str) -> str:
    """Return what went wrong; `what` did if nothing more is known."""
    known = next((text for kind, text in _FAULTS.items() if isinstance(error, kind)), None)
    return tls_fault(error) or known or f"{what} ({type(error).__name__})"
