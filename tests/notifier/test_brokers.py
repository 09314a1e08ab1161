"""MQTT and Kafka channels, with real brokers."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from anyio import fail_after
from msgspec.structs import replace

from app.domain.channels import KafkaChannel, MqttChannel
from app.domain.networks import Networks
from app.notifier.notification import OutgoingMessage
from app.notifier.senders.base import SendError
from app.notifier.senders.kafka import KafkaSender
from tests.support.mosquitto import mosquitto
from tests.support.ports import free_port
from tests.support.waiting import until

YARD = UUID(int=1)
LOOPBACK = Networks("loopback")


def message(number: int) -> OutgoingMessage:
    return OutgoingMessage(UUID(int=number), "event.alert", YARD, f'{{"number":{number}}}'.encode())


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[int]:
    async with mosquitto(tmp_path) as port:
        yield port


async def test_mqtt_messages_arrive_in_order_below_the_topic(broker: int) -> None:
    aiomqtt = pytest.importorskip("aiomqtt")
    from app.notifier.senders.mqtt import MqttSender

    sender = MqttSender(MqttChannel(url=f"mqtt://localhost:{broker}"), LOOPBACK)
    async with aiomqtt.Client("127.0.0.1", broker) as client:
        await client.subscribe("videoanalysis/#", qos=1)
        for number in range(3):
            await sender.send(message(number))
        with fail_after(10):
            for number in range(3):
                received = await anext(client.messages)
                assert str(received.topic) == f"videoanalysis/{YARD}/alert"
                assert (received.payload, received.retain) == (message(number).body, False)
    await sender.close()


async def test_home_assistant_is_told_of_each_scenario_and_kind_once_over_a_connection(
    broker: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aiomqtt = pytest.importorskip("aiomqtt")
    from app.notifier.senders import mqtt

    monkeypatch.setattr(mqtt, "_SUBSCRIBE_SECONDS", 0.0)
    channel = MqttChannel(url=f"mqtt://localhost:{broker}", home_assistant="ha")
    sender = mqtt.MqttSender(channel, LOOPBACK)
    async with aiomqtt.Client("127.0.0.1", broker) as client:
        await client.subscribe("#", qos=1)
        for each in (
            message(0),
            message(1),
            replace(message(2), type="event.line", scenario_name='"yard" {{'),
        ):
            await sender.send(each)
        await sender.send(OutgoingMessage(uuid4(), "channel.test", None, b"{}"))
        with fail_after(30):
            received = [await anext(client.messages) for _ in range(6)]
            await sender.close()
            await sender.send(message(3))  # over a new connection: the broker may have kept nothing
            again = [str((await anext(client.messages)).topic) for _ in range(2)]
    await sender.close()
    device = f"ha/device/videoanalysis_{YARD}"
    assert [str(each.topic) for each in received] == [
        f"{device}_alert/config", f"videoanalysis/{YARD}/alert", f"videoanalysis/{YARD}/alert",
        f"{device}_line/config", f"videoanalysis/{YARD}/line", "videoanalysis/test",
    ]  # fmt: skip
    assert again == [f"{device}_alert/config", f"videoanalysis/{YARD}/alert"]
    alert, line = [json.loads(received[n].payload) for n in (0, 3)]
    assert (alert["device"]["name"], line["device"]["name"]) == (str(YARD), '"yard" {{')
    assert alert["device"]["identifiers"] == line["device"]["identifiers"]  # one device
    assert (sorted(alert["components"]), sorted(line["components"])) == (["event", "seen"], ["event"])
    assert line["state_topic"] == f"videoanalysis/{YARD}/line"


async def test_an_mqtt_broker_that_is_away_or_not_allowed_is_an_error() -> None:
    pytest.importorskip("aiomqtt")
    from app.notifier.senders.mqtt import MqttSender

    channel = MqttChannel(url=f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(SendError, match=r"^does not accept connections$"):
        await MqttSender(channel, LOOPBACK).send(message(1))
    with pytest.raises(SendError, match="add loopback to VA_NOTIFY_NETWORKS"):
        await MqttSender(channel, Networks("public")).send(message(1))


async def test_a_broker_that_says_nothing_holds_no_connection_whether_it_is_abandoned_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("aiomqtt")
    from app.notifier.senders import mqtt

    monkeypatch.setattr(mqtt, "_ACKNOWLEDGE_SECONDS", 0.3)
    opened, still_open = 0, 0

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened, still_open
        opened, still_open = opened + 1, still_open + 1
        while await reader.read(1000):
            pass
        writer.close()
        still_open -= 1

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sender = mqtt.MqttSender(MqttChannel(url=f"mqtt://127.0.0.1:{port}"), LOOPBACK)
        with pytest.raises(SendError, match=r"^does not answer: check host and port"):
            await sender.send(message(1))
        with pytest.raises(TimeoutError), fail_after(0.1):
            await sender.send(message(1))
        await until(lambda: opened == 2 and still_open == 0)


async def test_kafka_messages_arrive_in_order_with_key_and_id(kafka: str) -> None:
    topic = f"alerts-{uuid4()}"
    sender = KafkaSender(KafkaChannel(servers=(kafka,), topic=topic), LOOPBACK)
    with fail_after(60):
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await admin.close()
        for number in range(3):
            await sender.send(message(number))
        await sender.close()
        consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest")
        await consumer.start()
        try:
            found = [await consumer.getone() for _ in range(3)]
        finally:
            await consumer.stop()
    assert [record.value for record in found] == [message(number).body for number in range(3)]
    assert {record.key for record in found} == {str(YARD).encode()}
    assert dict(found[2].headers) == {"id": str(UUID(int=2)).encode(), "type": b"event.alert"}


async def test_a_kafka_that_is_away_is_an_error() -> None:
    sender = KafkaSender(KafkaChannel(servers=(f"127.0.0.1:{free_port()}",), topic="alerts"), LOOPBACK)
    with pytest.raises(SendError, match=r"^does not accept connections$"):
        await sender.send(message(1))
