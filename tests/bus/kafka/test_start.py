"""Starting the bus on Kafka: what is refused, with one line for the user."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from structlog.testing import capture_logs

from app.bus import BusError
from app.bus.kafka.bus import open_kafka_bus
from app.bus.kafka.connection import KafkaSecurity
from app.bus.kafka.topics import ClusterTopics
from tests.bus.actors import Inbox
from tests.bus.harness import READERS, notes
from tests.bus.kafka.harness import QUICK, KafkaHarness

pytestmark = pytest.mark.timeout(60)


async def test_a_session_shorter_than_brokers_take_ends_the_consumer_with_one_line(
    harness: KafkaHarness,
) -> None:
    timeouts = msgspec.structs.replace(QUICK, session=0.1)
    async with harness.another(timeouts=timeouts) as bus:
        with pytest.raises(BusError) as caught:
            await bus.consume(notes, Inbox(), group=READERS)
    assert str(caught.value).startswith("Kafka refuses the consumer of test_notes: [Error 26]")


async def test_a_broker_that_does_not_answer_is_waited_for_and_then_named(free_address: str) -> None:
    with capture_logs() as logs, pytest.raises(BusError) as caught:
        async with open_kafka_bus([free_address], start_timeout=0.5):
            pass
    assert str(caught.value).startswith(f"no Kafka broker answers at {free_address}: ")
    assert "\n" not in str(caught.value)
    assert {line["event"] for line in logs} == {"waiting for Kafka"}


async def test_a_broker_among_several_is_enough(kafka: str, free_address: str) -> None:
    async with open_kafka_bus([free_address, kafka], topics=[], start_timeout=0):
        pass


async def test_more_copies_than_brokers_are_refused_in_one_line(harness: KafkaHarness) -> None:
    with pytest.raises(BusError, match=r"^Kafka cannot create the topic .*notes: .*replication.*$"):
        async with harness.another(prefix=f"{harness.prefix}copies.", topics=[notes], replication=3):
            pass


async def test_brokers_that_are_fenced_for_a_moment_are_waited_for() -> None:
    asked: list[str] = []

    class Admin:
        """Answers as a broker does that has just started."""

        async def describe_topics(self) -> list[dict[str, Any]]:
            names = [*asked[2:], *[name + ".dead" for name in asked[2:]]]
            return [{"topic": name, "partitions": [{"leader": 0}]} for name in names]

        async def create_topics(self, new: list[NewTopic]) -> SimpleNamespace:
            asked.append(new[0].name)
            fenced = "Unable to replicate the partition 1 time(s): All brokers are currently fenced."
            code = (0, None) if len(asked) > 2 else (errors.InvalidReplicationFactorError.errno, fenced)
            return SimpleNamespace(topic_errors=[(each.name, *code) for each in new])

    topics = ClusterTopics(cast("AIOKafkaAdminClient", Admin()), "va.")
    assert set(await topics.create_missing([notes], 1, 1)) == {"va.test_notes", "va.test_notes.dead"}
    assert len(asked) == 3


async def test_a_broker_without_passwords_refuses_one_in_one_line(kafka: str) -> None:
    security = KafkaSecurity(protocol="SASL_PLAINTEXT", username="va", password="secret")
    with pytest.raises(BusError) as caught:
        async with open_kafka_bus([kafka], security=security):
            pass
    assert str(caught.value).startswith(
        f"Kafka at {kafka} cannot be used: its brokers do not ask for a password"
    )
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_certificate_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("none")
    security = KafkaSecurity(protocol="SSL", ca_file=str(file))
    said = (
        r"^the certificate or key for Kafka cannot be read: .+;"
        r" check VA_KAFKA_CA_FILE, VA_KAFKA_CERTIFICATE_FILE and VA_KAFKA_KEY_FILE$"
    )
    with pytest.raises(BusError, match=said):
        async with open_kafka_bus(["kafka:9092"], security=security):
            pass
