"""Doing at once what several tasks ask for at the same time."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

from .wake import Wake

log = structlog.get_logger(__name__)

MOST = 100
"""How much is done at once at most."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Together(Generic[Item, Answer]):
    """Gathers what is asked for while `work` is busy, and has all of it done next.

    `work` is given the items, and returns the answer to each, None where it left one out.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Awaitable[Sequence[Answer | None]]]) -> None:
        self._work = work
        self._waiting: list[tuple[Item, asyncio.Future[Answer | None]]] = []
        self._asked = Wake()

    async def ask(self, item: Item) -> Answer | None:
        """The answer to the item. None where it is to be done alone: it was left out, or one of those done
        with it failed."""
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        self._asked.set()
        return await answer

    @property
    def waiting(self) -> int:
        """How many items are still to be begun with."""
        return len(self._waiting)

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        while True:
            await self._asked.wait(math.inf)
            while self._waiting:
                batch = [asked for asked in self._waiting[:MOST] if not asked[1].done()]
                del self._waiting[:MOST]
                if batch:
                    await self._do(batch)

    async def _do(self, batch: Sequence[tuple[Item, asyncio.Future[Answer | None]]]) -> None:
        answers: Sequence[Answer | None]
        try:
            answers = await self._work([item for item, _ in batch])
        except Exception as error:  # whose fault it is shows when each is done alone
            log.warning("done one by one", count=len(batch), error=repr(error))
            answers = [None] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if not future.done():
                future.set_result(answer)
