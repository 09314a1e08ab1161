"""What several tasks ask for at the same time is done at once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from anyio import Event, create_task_group

from app.concurrency.micro_batching import Together
from tests.support.waiting import until


class Work:
    """Doubles numbers, once it is let go; leaves zeros out, and fails where there is a negative one."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = Event()

    async def __call__(self, numbers: Sequence[int]) -> list[int | None]:
        self.batches.append(list(numbers))
        await self.free.wait()
        if min(numbers) < 0:
            raise ValueError("a negative number")
        return [2 * number or None for number in numbers]


class Asking:
    """Asks, each number in a task of its own."""

    def __init__(self, work: Work) -> None:
        self.together = Together(work)
        self.answers: dict[int, int | None] = {}

    async def ask(self, number: int) -> None:
        self.answers[number] = await self.together.ask(number)


@asynccontextmanager
async def asking(work: Work, *numbers: int) -> AsyncIterator[Asking]:
    """The first is in hand when the others come."""
    here = Asking(work)
    async with create_task_group() as group:
        group.start_soon(here.together.run)
        group.start_soon(here.ask, numbers[0])
        await until(lambda: work.batches)
        async with create_task_group() as askers:
            for number in numbers[1:]:
                askers.start_soon(here.ask, number)
            askers.start_soon(_let_go, work)
        yield here
        group.cancel_scope.cancel()


async def _let_go(work: Work) -> None:
    work.free.set()


async def test_what_came_meanwhile_is_done_at_once() -> None:
    work = Work()
    async with asking(work, 1, 2, 3, 4) as here:
        assert here.answers == {1: 2, 2: 4, 3: 6, 4: 8}
    assert work.batches == [[1], [2, 3, 4]]


async def test_what_was_left_out_has_no_answer() -> None:
    async with asking(Work(), 1, 0, 3) as here:
        assert here.answers == {1: 2, 0: None, 3: 6}


async def test_a_failure_leaves_all_that_were_done_with_it_to_be_done_alone() -> None:
    work = Work()
    async with asking(work, 1, 2, -1, 3) as here:
        assert here.answers == {1: 2, 2: None, -1: None, 3: None}
        assert await here.together.ask(5) == 10


async def test_what_nobody_waits_for_any_more_is_not_done() -> None:
    work = Work()
    here = Asking(work)
    async with create_task_group() as group:
        group.start_soon(here.together.run)
        group.start_soon(here.ask, 1)
        await until(lambda: work.batches)
        async with create_task_group() as askers:
            askers.start_soon(here.ask, 2)
            await until(lambda: here.together.waiting == 1)
            askers.cancel_scope.cancel()
        group.start_soon(here.ask, 3)
        work.free.set()
        await until(lambda: here.answers == {1: 2, 3: 6})
        group.cancel_scope.cancel()
    assert work.batches == [[1], [3]]
