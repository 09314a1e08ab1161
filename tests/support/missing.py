"""Skip a test that needs what this machine lacks, or fail it if CI=true, because there each test must run."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import NoReturn, TypeVar

import pytest

from tools.kafka import KafkaToolError

T = TypeVar("T")


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the test, or fail it if CI=true."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def broker_or_skip(broker: AbstractContextManager[T]) -> Iterator[T]:
    """Enter a broker of `tests.support.kafka`; skip or fail the test if it cannot be started."""
    with ExitStack() as stack:
        try:
            started = stack.enter_context(broker)
        except KafkaToolError as error:
            skip_or_fail(f"needs a Kafka broker: {error}; or name a running one with VA_TEST_KAFKA")
        yield started
