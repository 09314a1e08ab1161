"""What the soak does to a service, and what it sees of the process from outside."""

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

import anyio
import psutil
from anyio import sleep
from httpx import Response, TimeoutException

from tests.support.service import Json, ServiceProcess
from tests.support.waiting import until as wait_until

EACH = 3.0  # seconds that a scenario of the churn runs
PATHS = (
    "/scenarios",
    "/scenarios?state=active&limit=100",
    "/scenarios/{id}",
    "/scenarios/{id}/predictions?limit=100",
    "/scenarios/{id}/history",
    "/runners",
    "/detectors",
    "/models",
    "/health/ready",
    "/metrics",
    "/docs/openapi.json",
)


class Sample(NamedTuple):
    """The process at one moment. `memory` is what is resident, in MiB."""

    seconds: float
    memory: float
    files: int
    threads: int


class Measured(NamedTuple):
    """What grew between the first and the last quarter of the samples. `slope` is in MiB an hour."""

    slope: float
    memory: float
    files: float
    threads: float


def look(process: psutil.Process) -> Sample:
    """Return what the process has now."""
    with process.oneshot():
        memory = process.memory_info().rss / 2**20
        return Sample(time.monotonic(), memory, process.num_fds(), process.num_threads())


def note(sample: Sample, path: Path) -> None:
    """Keep a sample, whatever becomes of the rest."""
    with path.open("a") as file:
        file.write(",".join(map(str, sample)) + "\n")


def measure(samples: Sequence[Sample]) -> Measured:
    """The median of the slopes between all pairs of samples (Theil and Sen), and the medians' growth."""
    thin = samples[:: max(1, len(samples) // 400)]
    slopes = [
        (later.memory - earlier.memory) / (later.seconds - earlier.seconds) * 3600
        for earlier, later in itertools.combinations(thin, 2)
    ]
    quarter = max(1, len(samples) // 4)
    first, last = samples[:quarter], samples[-quarter:]
    grown = [median(s[field] for s in last) - median(s[field] for s in first) for field in (1, 2, 3)]
    return Measured(median(slopes), *grown)


async def every(period: float, work: Callable[[], Awaitable[None]], until: float) -> None:
    """Do the work each `period` seconds, measured from the first time, however long it takes."""
    due = time.monotonic()
    while due < until:
        await work()
        due += period
        await sleep(max(0.0, due - time.monotonic()))


class Churn:
    """A start and a stop every second: each scenario is created, stopped three seconds later, and deleted."""

    def __init__(self, service: ServiceProcess, requests: Sequence[Json]) -> None:
        self._service = service
        self._requests = itertools.cycle(requests)
        self.done = 0
        self.repeated = 0
        self.wrong: list[str] = []

    async def run(self, until: float) -> None:
        """Until the time, and until the last one is deleted."""
        async with anyio.create_task_group() as group:

            async def begin() -> None:
                group.start_soon(self._one, next(self._requests))

            await every(1.0, begin, until)

    async def _one(self, request: Json) -> None:
        http = self._service.http
        created, _ = await self._repeat(partial(http.post, "/scenarios", json=request | {"id": str(uuid4())}))
        if created.status_code not in (201, 202):
            self.wrong.append(f"{request}: {created.status_code} {created.text}")
            return
        path = f"/scenarios/{created.json()['id']}"
        await sleep(EACH)
        stopped, _ = await self._repeat(partial(http.post, f"{path}/stop"))
        if stopped.status_code not in (200, 202, 409):  # 409: it had come to its end
            self.wrong.append(f"stop: {stopped.status_code} {stopped.text}")

        async def inactive() -> Json | None:
            answer, _ = await self._repeat(partial(http.get, path))
            scenario: Json = answer.json()
            return scenario if scenario["state"] == "inactive" else None

        ended = await wait_until(inactive, 120, poll=0.1)
        assert ended is not None
        if ended["outcome"] not in ("stopped", "completed"):
            self.wrong.append(f"{request}: {ended['outcome']} {ended['error']}")
        deleted, tries = await self._repeat(partial(http.delete, path))
        # What a client no longer waited for may have been done all the same.
        if deleted.status_code != 204 and not (deleted.status_code == 404 and tries > 1):
            self.wrong.append(f"delete: {deleted.status_code} {deleted.text}")
        self.done += 1

    async def _repeat(self, ask: Callable[[], Awaitable[Response]]) -> tuple[Response, int]:
        """Send a request again while the service has no time for it, as a client does.

        Returns the answer, and how often it was asked for.
        """
        tries = 1
        while True:
            with suppress(TimeoutException):
                if (answer := await ask()).status_code != 503:
                    return answer, tries
            tries += 1
            self.repeated += 1
            await sleep(1)


class Readers:
    """Clients that together ask 100 times a second."""

    def __init__(self, service: ServiceProcess, scenario_ids: Sequence[str]) -> None:
        self._service = service
        self._ids = itertools.cycle(scenario_ids)
        self.answers = 0
        self.refused = 0
        self.wrong: list[str] = []

    async def run(self, until: float) -> None:
        """Each path ten times a second."""
        async with anyio.create_task_group() as group:
            for path in PATHS:
                group.start_soon(every, 10 / 100, lambda path=path: self._ask(path), until)

    async def _ask(self, path: str) -> None:
        self.answers += 1
        try:
            answer = await self._service.http.get(path.replace("{id}", next(self._ids)))
        except TimeoutException:
            self.refused += 1
            return
        if answer.status_code == 503:
            self.refused += 1
        elif answer.status_code != 200:
            self.wrong.append(f"{path}: {answer.status_code}")
