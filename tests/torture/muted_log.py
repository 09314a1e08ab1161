"""Mute the log under load: writing it would take longer than the load itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def muted_log() -> Iterator[None]:
    """Show only critical messages of this process during the block."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)
