"""Micro-batching: collect concurrent requests and run them as one."""

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog
from anyio import CancelScope, Event, current_time
from anyio.lowlevel import checkpoint

log = structlog.get_logger(__name__)

MAX_BATCH = 100
"""Items in one batch, at most."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Work = Callable[[Sequence[Item]], Awaitable[Sequence[Answer | None]]]
"""Gets the items of a batch, and returns one answer per item, in the same order."""


class _Batch(Generic[Item, Answer]):
    """Items whose tasks wait together. One of the tasks leads: it runs the work for all of them."""

    def __init__(self) -> None:
        self.items: dict[object, Item] = {}
        self.answers: dict[object, Answer | None] | None = None
        self.error: Exception | None = None
        self.has_leader = False
        self._released: Event | None = None

    async def released(self) -> None:
        """Return when the batch has ended or its leader was cancelled."""
        if self._released is None:
            self._released = Event()
        await self._released.wait()

    def release(self) -> None:
        """Wake the tasks that wait for the leader."""
        self.has_leader = False
        if self._released is not None:
            self._released.set()
            self._released = None


class MicroBatcher(Generic[Item, Answer]):
    """Runs `work` for many items at once. A batch collects items while the batch before it runs.

    The work for an item always begins after the item was passed in. `work` must be safe to repeat: if the
    task that leads a batch is cancelled, another task of the batch runs the work again.
    """

    def __init__(
        self, work: Work[Item, Answer], *, patience: float = math.inf, interval: float = 0.0
    ) -> None:
        """`patience` bounds in seconds how long a batch waits for the one before it, which may hang.

        `interval`: seconds from the beginning of a batch in which further items are collected.
        """
        self._work = work
        self._patience = patience
        self._interval = interval
        self._began = -math.inf  # the last batch, by the event loop's clock
        self._is_urgent = Event()
        self._collecting: _Batch[Item, Answer] = _Batch()
        self._running: _Batch[Item, Answer] | None = None

    async def ask(self, item: Item) -> Answer | None:
        """Return the answer to the item. Raises what the work raised, in each task of the batch."""
        if len(self._collecting.items) >= MAX_BATCH:
            self._collecting = _Batch()
        batch, ticket = self._collecting, object()
        batch.items[ticket] = item
        try:
            while batch.answers is None and batch.error is None:
                if batch.has_leader:
                    await batch.released()
                else:
                    await self._lead(batch)
        finally:
            del batch.items[ticket]  # cancelled before the work began: it does without this item
        if batch.error is not None:
            raise batch.error
        assert batch.answers is not None  # noqa: S101 - mypy cannot know that the loop saw to it
        return batch.answers[ticket]

    def hurry(self) -> None:
        """Begin the batch that is collected now, or else the next one, without waiting for the interval."""
        self._is_urgent.set()

    async def _lead(self, batch: _Batch[Item, Answer]) -> None:
        batch.has_leader = True
        try:
            if self._interval:
                with CancelScope(deadline=self._began + self._interval):
                    await self._is_urgent.wait()
            await self._wait_for_the_batch_before()
            if batch is self._collecting:
                self._collecting = _Batch()
            self._running = batch
            self._began, self._is_urgent = current_time(), Event()
            items = dict(batch.items)
            answers = await self._work(list(items.values()))
            batch.answers = dict(zip(items, answers, strict=True))
        except Exception as error:
            batch.error = error
        finally:
            if self._running is batch:
                self._running = None
            batch.release()

    async def _wait_for_the_batch_before(self) -> None:
        await checkpoint()  # tasks that are ready to run now may join
        if self._running is not None:
            with CancelScope(deadline=current_time() + self._patience):
                while self._running is not None:
                    await self._running.released()


def none_if_it_fails(work: Work[Item, Answer]) -> Work[Item, Answer]:
    """Return `work`, but if it fails, each answer is None: the caller then handles each item alone."""

    async def attempt(items: Sequence[Item]) -> Sequence[Answer | None]:
        try:
            return await work(items)
        except Exception as error:  # one item alone may be at fault
            log.warning("batch failed: its items are handled one by one", count=len(items), error=repr(error))
            return [None] * len(items)

    return attempt
