"""One model on one server, with a circuit breaker, as all runs of this process share it."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Literal

from msgspec import Struct

from .http_server import HttpServer
from .model_url import ModelAddress
from .served_model import ServedModel

MIN_BACKOFF, MAX_BACKOFF = 0.2, 5.0
"""Seconds between tries of an endpoint that fails, which double from one to the next."""

Admission = Literal["ready", "check", "wait"]
"""Whether an endpoint may be used, must be checked by the caller first, or must be left alone for now."""


class EndpointFacts(Struct, frozen=True, eq=False):
    """What the last check of an endpoint found."""

    model: ServedModel
    backend: str  # what computes, else name and version of the server
    precision: str  # empty if the server does not tell
    has_binary: bool


class Endpoint:
    """After a failure, requests wait for a backoff, and one check decides whether they go on.

    Any thread may call it. `server` belongs to the network loop's thread.
    """

    def __init__(
        self, address: ModelAddress, server: HttpServer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.address = address
        self.server = server
        self.fault = "has not answered yet"
        """Why it failed the last time; follows its address in a sentence."""
        self.users = 0
        self.in_flight = 0
        self._clock = clock
        self._lock = Lock()
        self._facts: EndpointFacts | None = None
        self._is_checking = False
        self._failures = 0
        self._retry_at = 0.0

    def admit(self) -> tuple[Admission, EndpointFacts | None]:
        """Return whether the caller may use it. After "check" it must call `passed` or `failed`."""
        with self._lock:
            if self._facts is not None:
                return "ready", self._facts
            if self._is_checking or self._clock() < self._retry_at:
                return "wait", None
            self._is_checking = True
            return "check", None

    def passed(self, facts: EndpointFacts) -> None:
        """Let requests go on after a check. Only one that works ends the growth of the backoff."""
        with self._lock:
            self._facts, self._is_checking = facts, False

    def failed(self, fault: str, facts: EndpointFacts | None) -> None:
        """Stop requests until the next check. `facts` are those that the failed request went by.

        Requests that fail together count once.
        """
        with self._lock:
            if facts is not self._facts:
                return
            self._facts, self._is_checking = None, False
            self.fault = fault
            backoff = min(MIN_BACKOFF * 2**self._failures, MAX_BACKOFF)
            self._failures = min(self._failures + 1, 30)
            self._retry_at = self._clock() + backoff * random.uniform(0.8, 1.0)  # noqa: S311 - no secret

    def given_up(self) -> None:
        """End a check that was abandoned, as if it had not begun."""
        with self._lock:
            self._is_checking = False

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count a request as under way."""
        with self._lock:
            self.in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    def worked(self) -> None:
        """Note that a request was answered rightly."""
        with self._lock:
            self._failures = 0

    @property
    def tries(self) -> int:
        """How often it failed since it worked last."""
        return self._failures

    @property
    def retry_after(self) -> float:
        """Seconds until it may be checked."""
        with self._lock:
            return max(0.0, self._retry_at - self._clock())
