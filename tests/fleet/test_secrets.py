"""A member of a fleet shows no password of Kafka's, nor any that comes over it, at its most talkative."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.kafka import LocalBroker, local_broker
from tests.support.missing import broker_or_skip
from tests.support.secure_listener import SecureListener
from tests.support.service import running
from tests.support.waiting import until

CANARY = "c4nary"


@pytest.fixture
def secure(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[LocalBroker, SecureListener]]:
    monkeypatch.setattr(SecureListener, "password", f"{CANARY} pass word")
    with broker_or_skip(local_broker(secure=True)) as broker:
        assert broker.secure is not None
        yield broker, broker.secure


async def test_secrets_show_nowhere(tmp_path: Path, secure: tuple[LocalBroker, SecureListener]) -> None:
    broker, listener = secure
    source = f"rtsp://admin:{CANARY}@127.0.0.1:9/live?token={CANARY}"
    async with running(
        tmp_path,
        bus="kafka",
        kafka_bootstrap_servers=listener.address,
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="PLAIN",  # which sends the password as it is
        kafka_username=listener.admin,
        kafka_password=listener.password,
        kafka_ca_file=listener.certificate,
        kafka_partitions=1,
        log_level="debug",
    ) as service:
        scenario = await service.create(source, {"type": "mock"}, restart={"policy": "never"})
        async with AIOKafkaProducer(bootstrap_servers=broker.address) as neighbour:
            for data in (f'{{"type": "StartScenario", "source": "{source}"}}', source):
                await neighbour.send_and_wait("orchestrator_commands", data.encode(), key=b"a")
        await until(lambda: service.log.read_text().count("message given up") == 2)
        answer = await service.http.get(f"/scenarios/{scenario}")
        metrics = await service.http.get("/metrics")
    log = service.log.read_text()
    assert len(log.splitlines()) > 20
    shown = [line for line in [*log.splitlines(), answer.text, *metrics.text.splitlines()] if CANARY in line]
    assert shown == []
