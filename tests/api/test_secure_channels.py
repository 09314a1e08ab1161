"""Brokers with TLS and passwords: `POST /channels/{name}/test` tells what is wrong with a channel."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from msgspec.structs import replace

from app.bus.kafka.connection import KafkaSecurity, client_options
from app.domain.channels import Channel, KafkaChannel, MqttChannel, type_of
from app.domain.networks import Networks
from app.notifier.senders import kafka as kafka_sender
from app.notifier.senders.factory import make_sender
from app.postgres import Database
from tests.api.conftest import Start, connected
from tests.notifier.running import QUICK, notifying
from tests.support.mosquitto import PASSWORD, USER, mosquitto
from tests.support.secure_listener import SecureListener
from tests.support.tls_front import CERTIFICATE

UNVERIFIED = "the channel has a TLS certificate that cannot be verified"
NOT_LOCALHOST = "Hostname mismatch, certificate is not valid for 'localhost'."


async def outcome(start: Start, predictions: Database, channel: Channel) -> str | None:
    """Test a channel over HTTP; return its error, or None if the message was sent."""
    sender = make_sender("it", channel, Networks("loopback"))
    async with (
        start(channels={"it": type_of(channel)}) as app,
        connected(app) as http,
        notifying(predictions, {"it": sender}, replace(QUICK, attempt=10.0)),
    ):
        answer = await http.post("/channels/it/test", timeout=30)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["state"] == "sent") == (said["error"] is None)
    error: str | None = said["error"]
    return error


@pytest.fixture
async def mqtt(tmp_path: Path) -> AsyncIterator[MqttChannel]:
    pytest.importorskip("aiomqtt")
    async with mosquitto(tmp_path, secure=True) as port:
        url = f"mqtts://127.0.0.1:{port}"
        yield MqttChannel(url=url, username=USER, password=PASSWORD, ca_file=str(CERTIFICATE))


async def test_a_broker_of_mqtt_gets_messages_or_the_answer_says_what_is_wrong(
    start: Start, predictions: Database, mqtt: MqttChannel
) -> None:
    login = "the channel refuses the connection: check `username` and `password`"
    said = {
        mqtt: None,
        replace(mqtt, password="wrong"): login,
        replace(mqtt, username=None, password=None): login,
        replace(
            mqtt, ca_file=None
        ): f"{UNVERIFIED}: self-signed certificate: name its authority in `ca_file`",
        replace(mqtt, url=mqtt.url.replace("127.0.0.1", "localhost")): f"{UNVERIFIED}: {NOT_LOCALHOST}",
    }
    for channel, error in said.items():
        assert await outcome(start, predictions, channel) == error


async def test_a_broker_of_kafka_gets_messages_or_the_answer_says_what_is_wrong(
    start: Start, predictions: Database, secure: SecureListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_sender, "_REQUEST_SECONDS", 1.5)  # for the topic that is not there
    kafka = KafkaChannel(
        servers=(secure.address,),
        topic=f"events-{uuid4()}",
        security_protocol="SASL_SSL",
        username=secure.admin,
        password=secure.password,
        ca_file=str(secure.certificate),
    )
    await create_topic(secure, kafka.topic)
    elsewhere = (secure.address.replace("127.0.0.1", "localhost"),)
    said = {
        kafka: None,
        replace(kafka, sasl_mechanism="PLAIN"): None,
        replace(kafka, password="wrong"): "the channel refuses the login: check `username` and `password`",
        replace(
            kafka, ca_file=None
        ): f"{UNVERIFIED}: self-signed certificate: name its authority in `ca_file`",
        replace(kafka, servers=elsewhere): f"{UNVERIFIED}: {NOT_LOCALHOST}",
        replace(kafka, sasl_mechanism="SCRAM-SHA-256"): "the channel does not support this `sasl_mechanism`",
        replace(kafka, sasl_mechanism="PLAIN", username=secure.stranger): (
            "the channel does not let this user write to it"
        ),
        replace(kafka, security_protocol="PLAINTEXT"): (
            "the channel closes the connection: check `security_protocol` (KafkaConnectionError)"
        ),
        replace(kafka, topic="gone"): "the channel has no topic of this name: create it",
    }
    for channel, error in said.items():
        assert await outcome(start, predictions, channel) == error


async def create_topic(secure: SecureListener, topic: str) -> None:
    security = KafkaSecurity(
        protocol="SASL_SSL",
        username=secure.admin,
        password=secure.password,
        ca_file=str(secure.certificate),
    )
    admin = AIOKafkaAdminClient(**client_options([secure.address], "test", security))
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    await admin.close()
