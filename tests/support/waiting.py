"""Waiting for a condition with a deadline, instead of sleeping."""

import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

from anyio import sleep

T = TypeVar("T")


@overload
async def until(condition: Callable[[], Awaitable[T]], timeout: float = ..., poll: float = ...) -> T: ...
@overload
async def until(condition: Callable[[], T], timeout: float = ..., poll: float = ...) -> T: ...
async def until(condition: Callable[[], object], timeout: float = 30.0, poll: float = 0.01) -> object:
    """Return the condition's first truthy value. Raises AssertionError past `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {inspect.getsource(condition).strip()}")
        await sleep(poll)
