"""Brokers that ask for certificates, passwords and rights."""

import pytest

from app.bus import BusError
from app.bus.kafka.connection import KafkaSecurity
from tests.bus.actors import Inbox, consuming
from tests.bus.harness import READERS, Note, notes
from tests.bus.kafka.harness import KafkaHarness
from tests.support.secure_listener import SecureListener
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)


def _security(secure: SecureListener, **changes: object) -> KafkaSecurity:
    known = {
        "protocol": "SASL_SSL",
        "mechanism": "PLAIN",
        "username": secure.admin,
        "password": secure.password,
        "ca_file": str(secure.certificate),
    }
    return KafkaSecurity(**{**known, **changes})  # type: ignore[arg-type]


def _harness(secure: SecureListener, **changes: object) -> KafkaHarness:
    return KafkaHarness(
        secure.address,
        topics=[notes],
        security=_security(secure, **changes),
        start_timeout=0,
        publish_timeout=5,
    )


async def _refusal(harness: KafkaHarness) -> str:
    with pytest.raises(BusError) as caught:
        await harness.open()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
async def test_the_bus_works_over_tls_with_a_password(secure: SecureListener, mechanism: str) -> None:
    harness = _harness(secure, mechanism=mechanism)
    await harness.open()
    inbox = Inbox()
    async with consuming(harness.bus, notes, inbox, READERS):
        await harness.bus.publish(notes, Note("a"), "a")
        await until(lambda: inbox.messages)
    await harness.close()


async def test_a_wrong_password_is_refused_in_one_line(secure: SecureListener) -> None:
    said = await _refusal(_harness(secure, password="wrong-password"))
    assert said.startswith(
        f"Kafka at {secure.address} cannot be used: the user name or the password is wrong ("
    )
    assert "wrong-password" not in said


async def test_a_mechanism_that_brokers_do_not_know_is_refused_in_one_line(secure: SecureListener) -> None:
    assert "do not support this SASL mechanism" in await _refusal(_harness(secure, mechanism="SCRAM-SHA-256"))


async def test_a_certificate_of_an_unknown_authority_is_refused_in_one_line(secure: SecureListener) -> None:
    assert "certificate verify failed" in await _refusal(_harness(secure, ca_file=None))


async def test_a_user_who_may_not_create_topics_is_told_so_in_one_line(secure: SecureListener) -> None:
    harness = _harness(secure, username=secure.stranger)
    said = await _refusal(harness)
    name = harness.prefix + notes.name
    assert said == (
        f"Kafka does not let this user create topics: allow it, or create them: {name}, {name}.dead"
    )


def test_the_repr_hides_the_password() -> None:
    assert (
        repr(KafkaSecurity(protocol="SASL_SSL", username="va", password="hunter2"))
        == "KafkaSecurity(SASL_SSL)"
    )
