"""MQTT 3.1.1 with quality of service 1: the broker acknowledges each message."""

import asyncio
import ssl
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
from anyio import CancelScope, Lock, move_on_after, sleep

from ...domain.channels import MqttChannel
from ...domain.networks import Networks
from ..notification import OutgoingMessage
from .base import SendError
from .home_assistant import discovery_message, discovery_topic
from .targets import resolve
from .tls import tls_fault

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_CLOSE_SECONDS = 1.0
_HANDSHAKE_SECONDS = 5.0
_ACKNOWLEDGE_SECONDS = 8.0
_SUBSCRIBE_SECONDS = 1.0  # in which Home Assistant subscribes to what it was told of: events are not retained


class MqttSender:
    """Publishes over one connection, which is opened when it is needed and replaced after any failure.

    Topics are `<topic>/<scenario>/<kind of event>`, and `<topic>/test`. If the channel names Home Assistant's
    prefix, the first message of each scenario and kind follows the retained one by which that finds it. A new
    connection may be to a broker that was started again and has kept nothing, so it begins anew.
    """

    def __init__(self, channel: MqttChannel, networks: Networks) -> None:
        self._channel = channel
        self._networks = networks
        parts = urlsplit(channel.url)
        self._host = parts.hostname or ""
        self._port = parts.port or _PORTS[parts.scheme]
        self._is_secure = parts.scheme == "mqtts"
        self._opening = Lock()
        self._client: aiomqtt.Client | None = None
        self._abandoned: set[asyncio.Future[None]] = set()
        self._announced = set[str]()  # topics, over this connection

    async def send(self, message: OutgoingMessage) -> None:
        """Publish the message, and wait for the broker's acknowledgement. Raises SendError."""
        async with self._opening:
            client = self._client
            if client is None:
                client = self._client = await self._connect()
                self._announced = set()
            announced = self._announced
        try:
            await self._announce(client, message, announced)
            await client.publish(self._topic(message), message.body, qos=1)
        except aiomqtt.MqttError as error:
            await self._retire(client)
            raise SendError("does not acknowledge the message") from error
        except BaseException:
            await self._retire(client)
            raise

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._retire(self._client)

    async def _announce(self, client: aiomqtt.Client, message: OutgoingMessage, announced: set[str]) -> None:
        """Tell Home Assistant of the scenario, unless it was told over this connection."""
        prefix = self._channel.home_assistant
        if prefix is None or message.scenario_id is None:
            return
        kind, state_topic = message.type.partition(".")[2], self._topic(message)
        topic = discovery_topic(prefix, message.scenario_id, kind)
        if topic in announced:
            return
        found = discovery_message(message.scenario_id, message.scenario_name, kind, state_topic)
        await client.publish(topic, found, qos=1, retain=True)
        await sleep(_SUBSCRIBE_SECONDS)
        announced.add(topic)

    async def _connect(self) -> aiomqtt.Client:
        fault: Exception | None = None
        for host in await resolve(self._networks, self._host, self._port):
            client = aiomqtt.Client(
                host,
                self._port,
                username=self._channel.username,
                password=self._channel.password,
                tls_context=_tls_context(self._host, self._channel.ca_file) if self._is_secure else None,
                timeout=_ACKNOWLEDGE_SECONDS,
            )
            try:
                await self._open(client)
            except (aiomqtt.MqttError, OSError) as error:
                fault = error
            else:
                return client
        raise SendError(_in_words(fault)) from fault

    async def _open(self, client: aiomqtt.Client) -> None:
        """Connect. The library leaves its socket open if that fails, and cannot close it if it is cancelled.

        So a call that is cancelled lets it end in the background: it has time-outs of its own.
        """
        opening = asyncio.ensure_future(client.__aenter__())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            abandoned = asyncio.ensure_future(self._retire_after(opening, client))
            self._abandoned.add(abandoned)
            abandoned.add_done_callback(self._abandoned.discard)
            raise
        except BaseException:
            await self._retire(client)
            raise

    async def _retire_after(self, opening: asyncio.Future[Any], client: aiomqtt.Client) -> None:
        with suppress(aiomqtt.MqttError, OSError):
            await opening
        await self._retire(client)

    async def _retire(self, client: aiomqtt.Client) -> None:
        """Disconnect, even if this task is cancelled; other tasks that use this connection fail."""
        if self._client is client:
            self._client = None
        with CancelScope(shield=True), move_on_after(_CLOSE_SECONDS):
            try:
                await client.__aexit__(None, None, None)
            except aiomqtt.MqttError:  # it was disconnected already
                return

    def _topic(self, message: OutgoingMessage) -> str:
        kind = message.type.partition(".")[2]
        place = kind if message.scenario_id is None else f"{message.scenario_id}/{kind}"
        return f"{self._channel.topic}/{place}"


class _NamedContext(ssl.SSLContext):
    """Checks the certificate for `name`, although the connection was made to an address."""

    name = ""

    def wrap_socket(self, sock: Any, *arguments: Any, **named: Any) -> ssl.SSLSocket:
        wrapped = super().wrap_socket(sock, *arguments, **{**named, "server_hostname": self.name})
        wrapped.settimeout(_HANDSHAKE_SECONDS)
        try:
            wrapped.do_handshake()  # the library would do it, and leave the socket open if it fails
        except BaseException:
            wrapped.close()
            raise
        return wrapped


def _tls_context(name: str, ca_file: str | None) -> ssl.SSLContext:
    context = _NamedContext(ssl.PROTOCOL_TLS_CLIENT)
    context.name = name
    if ca_file is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca_file)
    return context


def _in_words(error: Exception | None) -> str:
    """Return why no connection was made. An error of the library may name the user."""
    if isinstance(error, aiomqtt.MqttCodeError):
        return "refuses the connection: check `username` and `password`"
    if (fault := tls_fault(error)) is not None:
        return fault
    if isinstance(error, TimeoutError) or (error and isinstance(error.__context__, TimeoutError)):
        return "does not answer: check host and port, and whether it speaks mqtt or mqtts there"
    return "does not accept connections"
