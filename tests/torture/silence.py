"""Silence in the log, where a load would fill it: writing it would take longer than the load."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def silence() -> Iterator[None]:
    """Nothing that this process logs is shown while the block lasts."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
