"""Waiting for a condition with a deadline, instead of sleeping."""

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

from anyio import sleep

T = TypeVar("T")

_LONGEST_POLL = 0.1  # seconds


@overload
async def until(condition: Callable[[], Awaitable[T]], timeout: float = ..., poll: float = ...) -> T: ...
@overload
async def until(condition: Callable[[], T], timeout: float = ..., poll: float = ...) -> T: ...
async def until(condition: Callable[[], object], timeout: float = 60.0, poll: float = 0.01) -> object:
    """Return the condition's first truthy value. Raises AssertionError past `timeout` seconds.

    It looks every `poll` seconds, and later ten times less often than it has waited: asking a service a
    hundred times a second takes a core from what is waited for.
    """
    began = time.monotonic()
    deadline = began + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        now = time.monotonic()
        if now > deadline:
            raise AssertionError(f"not within {timeout} s: {inspect.getsource(condition).strip()}")
        await sleep(max(poll, min((now - began) / 10, _LONGEST_POLL)))
