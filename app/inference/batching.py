"""Dynamic batching: compute requests of one model together if they wait at the same time."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import structlog
from anyio import TASK_STATUS_IGNORED, Event, create_task_group
from anyio.abc import TaskGroup, TaskStatus

from ..concurrency.threads import start_thread
from ..detectors.backends.session import Array, InferenceError
from .hosted_model import HostedModel
from .statistics import WAITING

log = structlog.get_logger(__name__)

MAX_WAITING = 64
"""Requests that may wait for a core."""


class BusyError(Exception):
    """Too many requests wait already, or the service stops."""


class _Job:
    """One request to compute."""

    def __init__(self, model: HostedModel, feeds: dict[str, Array], outputs: tuple[str, ...]) -> None:
        self.model = model
        self.feeds = feeds
        self.outputs = outputs
        self.began = time.perf_counter()
        self.queued = 0.0
        self.done = Event()
        self.result: list[Array] | Exception = BusyError()  # if the service stops before it is computed

    @property
    def pictures(self) -> int:
        return len(next(iter(self.feeds.values()))) if self.model.can_batch else 1

    def joins(self, other: "_Job") -> bool:
        """Return whether both can be computed as one batch."""
        return (
            self.model is other.model
            and self.model.can_batch
            and self.outputs == other.outputs
            and all(values.shape[1:] == other.feeds[name].shape[1:] for name, values in self.feeds.items())
        )


class BatchScheduler:
    """Computes requests in their order, `slots` batches at the same time, each in a thread.

    A request is never kept waiting for others to come: a batch is what waits when a slot becomes free.
    """

    def __init__(self, slots: int, max_batch: int = 1) -> None:
        """`max_batch` bounds the first axis of what is computed at once; 1 computes each request alone."""
        self._slots = slots
        self._max_batch = max_batch
        self._waiting: deque[_Job] = deque()
        self._running = 0
        self._group: TaskGroup | None = None

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Compute what `infer` is asked for, until cancelled."""
        try:
            async with create_task_group() as self._group:
                task_status.started()
                await Event().wait()
        finally:
            self._group = None
            for job in self._waiting:
                job.done.set()

    async def infer(
        self, model: HostedModel, feeds: dict[str, Array], outputs: tuple[str, ...]
    ) -> tuple[list[Array], float]:
        """Return the outputs for these inputs, and the seconds that the request waited.

        Raises:
            BusyError: MAX_WAITING requests wait already.
            InferenceError: the model cannot compute with these inputs.
        """
        if self._group is None or len(self._waiting) >= MAX_WAITING:
            raise BusyError
        job = _Job(model, feeds, outputs)
        self._waiting.append(job)
        self._start()
        try:
            await job.done.wait()
        finally:
            if job in self._waiting:  # cancelled before its turn
                self._waiting.remove(job)
                WAITING.set(len(self._waiting))
        if isinstance(job.result, Exception):
            raise job.result
        return job.result, job.queued

    def _start(self) -> None:
        while self._group is not None and self._running < self._slots and self._waiting:
            self._running += 1
            self._group.start_soon(self._run, self._take())
        WAITING.set(len(self._waiting))

    def _take(self) -> list[_Job]:
        """Take the request that has waited longest, and those that can be computed with it."""
        first = self._waiting.popleft()
        jobs, pictures = [first], first.pictures
        for job in list(self._waiting):
            if pictures >= self._max_batch:
                break
            if first.joins(job) and pictures + job.pictures <= self._max_batch:
                jobs.append(job)
                pictures += job.pictures
                self._waiting.remove(job)
        return jobs

    async def _run(self, jobs: list[_Job]) -> None:
        began = time.perf_counter()
        for job in jobs:
            job.queued = began - job.began
        try:
            results = await _in_nice_thread(jobs)
            for job, result in zip(jobs, results, strict=True):
                job.result = result
        except RuntimeError as error:  # no thread can be started
            for job in jobs:
                job.result = error
        finally:
            self._running -= 1
            pictures = sum(job.pictures for job in jobs)
            jobs[0].model.statistics.count_batch(pictures, time.perf_counter() - began)
            for job in jobs:
                job.done.set()
        self._start()  # not if this was cancelled, because the service stops


async def _in_nice_thread(jobs: Sequence[_Job]) -> list[list[Array] | Exception]:
    """Compute beside the event loop, which comes first."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def compute() -> None:
        results = _compute(jobs)
        with suppress(RuntimeError):  # the event loop has ended
            loop.call_soon_threadsafe(lambda: None if done.done() else done.set_result(results))

    start_thread("infer", compute)
    results: list[list[Array] | Exception] = await done
    return results


def _compute(jobs: Sequence[_Job]) -> list[list[Array] | Exception]:
    """Return each job's outputs, or why there are none."""
    if len(jobs) > 1:
        try:
            return _compute_together(jobs)
        except Exception:  # one request alone may be at fault
            log.warning(
                "a batch failed: its requests are computed one by one", count=len(jobs), exc_info=True
            )
    results: list[list[Array] | Exception] = []
    for job in jobs:
        try:
            results.append(job.model.compute(job.feeds, job.outputs))
        except Exception as error:
            results.append(error)
    return results


def _compute_together(jobs: Sequence[_Job]) -> list[list[Array] | Exception]:
    """Return each job's part of the outputs. Raises InferenceError."""
    first = jobs[0]
    ends = np.cumsum([job.pictures for job in jobs])
    feeds = {name: np.concatenate([job.feeds[name] for job in jobs]) for name in first.feeds}
    together = first.model.compute(feeds, first.outputs)
    if any(len(values) != ends[-1] for values in together):
        raise InferenceError("an output's first axis is not the batch")
    parts = [np.split(values, ends[:-1]) for values in together]
    return [[values[number] for values in parts] for number in range(len(jobs))]
