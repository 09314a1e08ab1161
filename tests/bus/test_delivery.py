"""Delivery: the backoff, and what is logged about a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.bus.delivery import DeadLetter, Deliverer, Delivery, RetryPolicy
from app.messages import Message
from tests.bus.actors import FailingInbox
from tests.bus.harness import READERS, Note, notes


@given(failures=st.integers(min_value=1, max_value=10_000))
def test_the_backoff_doubles_up_to_its_limit_and_varies(failures: int) -> None:
    retry = RetryPolicy(first_retry=0.1, longest_retry=5.0)
    full = min(5.0, 0.1 * 2 ** min(failures - 1, 10))
    backoffs = {retry.backoff(failures) for _ in range(20)}
    assert all(full / 2 <= backoff <= full for backoff in backoffs)
    assert len(backoffs) > 1


@pytest.fixture
def delivery() -> Delivery:
    return Delivery(topic=notes, group=READERS, key="a", data=notes.encode(Note("a")))


async def test_a_retry_is_logged_with_its_error(delivery: Delivery) -> None:
    with capture_logs() as logs:
        assert (
            await Deliverer(RetryPolicy(first_retry=0.001)).deliver(
                delivery, FailingInbox(OSError("no route"))
            )
            is None
        )
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
    deliverer = Deliverer(RetryPolicy(max_deliveries=1))
    with capture_logs() as logs:
        letter = await deliverer.deliver(delivery, FailingInbox(ValueError("poison")))
    assert letter == DeadLetter("test_notes", READERS, "a", delivery.data, 1, "ValueError: poison")
    (line,) = logs
    assert line["log_level"] == "error"
    assert line["topic"] == "test_notes.dead"
    assert line["error"] == "ValueError: poison"
    assert delivery.data not in line.values()


async def test_a_task_may_publish_again_after_its_handler_returned(delivery: Delivery) -> None:
    deliverer = Deliverer()

    async def handle(_: Message) -> None:
        with pytest.raises(RuntimeError, match="outbox"):
            deliverer.forbid_in_handler()

    assert await deliverer.deliver(delivery, handle) is None
    deliverer.forbid_in_handler()


async def test_a_dead_letter_names_no_password_in_its_error(delivery: Delivery) -> None:
    fault = ValueError("cannot open rtsp://admin:s3cret@camera/live?token=s3cret")
    letter = await Deliverer(RetryPolicy(max_deliveries=1)).deliver(delivery, FailingInbox(fault))
    assert letter is not None
    assert letter.error == "ValueError: cannot open rtsp://***@camera/live?token=***"
