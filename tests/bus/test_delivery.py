"""How long a courier waits, and what it tells of a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.bus.delivery import Courier, DeadLetter, Delivery
from app.messages import Message
from tests.bus.actors import Faulty
from tests.bus.harness import READERS, Note, notes


@given(failures=st.integers(min_value=1, max_value=10_000))
def test_the_wait_doubles_up_to_its_cap_and_varies(failures: int) -> None:
    courier = Courier(first_retry=0.1, longest_retry=5.0)
    full = min(5.0, 0.1 * 2 ** min(failures - 1, 10))
    pauses = {courier.pause(failures) for _ in range(20)}
    assert all(full / 2 <= pause <= full for pause in pauses)
    assert len(pauses) > 1


@pytest.fixture
def delivery() -> Delivery:
    return Delivery(topic=notes, group=READERS, key="a", data=notes.encode(Note("a")))


async def test_a_retry_is_logged_with_its_error(delivery: Delivery) -> None:
    with capture_logs() as logs:
        assert await Courier(first_retry=0.001).deliver(delivery, Faulty(OSError("no route"))) is None
    (line,) = logs
    assert line["log_level"] == "warning"
    assert line["error"] == "OSError: no route"
    assert (line["topic"], line["group"], line["key"], line["message"]) == (
        "test_notes",
        READERS,
        "a",
        "Note",
    )


async def test_a_dead_letter_is_logged_with_its_error_and_without_its_content(delivery: Delivery) -> None:
    courier = Courier(max_deliveries=1)
    with capture_logs() as logs:
        letter = await courier.deliver(delivery, Faulty(ValueError("poison")))
    assert letter == DeadLetter("test_notes", READERS, "a", delivery.data, 1, "ValueError: poison")
    (line,) = logs
    assert line["log_level"] == "error"
    assert line["topic"] == "test_notes.dead"
    assert line["error"] == "ValueError: poison"
    assert delivery.data not in line.values()


async def test_a_task_may_publish_again_after_its_handler_returned(delivery: Delivery) -> None:
    courier = Courier()

    async def handle(_: Message) -> None:
        with pytest.raises(RuntimeError, match="outbox"):
            courier.refuse_handlers()

    assert await courier.deliver(delivery, handle) is None
    courier.refuse_handlers()


async def test_a_dead_letter_names_no_password_in_its_error(delivery: Delivery) -> None:
    fault = ValueError("cannot open rtsp://admin:s3cret@camera/live?token=s3cret")
    letter = await Courier(max_deliveries=1).deliver(delivery, Faulty(fault))
    assert letter is not None
    assert letter.error == "ValueError: cannot open rtsp://***@camera/live?token=***"
