"""Micro-batching: concurrent items run as one, and no task suffers from another that shares its batch."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio import CancelScope, Event, create_task_group, wait_all_tasks_blocked

from app.concurrency.micro_batching import MAX_BATCH, MicroBatcher, none_if_it_fails
from tests.support.waiting import until


class Doubling:
    """Doubles numbers once it may go on. Has no answer for zeros, and fails if one number is negative."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_go_on = Event()

    async def __call__(self, numbers: Sequence[int]) -> list[int | None]:
        self.batches.append(list(numbers))
        await self.may_go_on.wait()
        if min(numbers) < 0:
            raise ValueError("a negative number")
        return [2 * number or None for number in numbers]


class Numbers:
    """Passes numbers in, each in a task of its own, and keeps the answers."""

    def __init__(self, work: Doubling) -> None:
        self.batcher = MicroBatcher(none_if_it_fails(work))
        self.answers: dict[int, int | None] = {}

    async def ask(self, number: int) -> None:
        self.answers[number] = await self.batcher.ask(number)


@asynccontextmanager
async def asking(work: Doubling, *numbers: int) -> AsyncIterator[Numbers]:
    """Pass in the first number, and the others while the work for the first one runs."""
    here = Numbers(work)
    async with create_task_group() as group:
        group.start_soon(here.ask, numbers[0])
        await until(lambda: work.batches)
        async with create_task_group() as tasks:
            for number in numbers[1:]:
                tasks.start_soon(here.ask, number)
            tasks.start_soon(_let_go_on, work)
        yield here
        group.cancel_scope.cancel()


async def _let_go_on(work: Doubling) -> None:
    work.may_go_on.set()


async def test_items_that_come_while_a_batch_runs_are_the_next_batch() -> None:
    work = Doubling()
    async with asking(work, 1, 2, 3, 4) as here:
        assert here.answers == {1: 2, 2: 4, 3: 6, 4: 8}
    assert work.batches == [[1], [2, 3, 4]]


async def test_items_that_come_at_the_same_time_are_one_batch() -> None:
    work = Doubling()
    work.may_go_on.set()
    here = Numbers(work)
    async with create_task_group() as tasks:
        for number in (1, 2, 3):
            tasks.start_soon(here.ask, number)
    assert work.batches == [[1, 2, 3]]


async def test_a_batch_is_bounded_and_the_rest_are_the_next_batches() -> None:
    work = Doubling()
    numbers = range(2 * MAX_BATCH + 2)
    async with asking(work, *numbers) as here:
        assert here.answers == {number: 2 * number or None for number in numbers}
    assert [len(batch) for batch in work.batches] == [1, MAX_BATCH, MAX_BATCH, 1]
    assert [number for batch in work.batches for number in batch] == list(numbers)


async def test_an_item_that_the_work_left_out_has_no_answer() -> None:
    async with asking(Doubling(), 1, 0, 3) as here:
        assert here.answers == {1: 2, 0: None, 3: 6}


async def test_a_failed_batch_leaves_each_of_its_items_to_be_handled_alone() -> None:
    work = Doubling()
    async with asking(work, 1, 2, -1, 3) as here:
        assert here.answers == {1: 2, 2: None, -1: None, 3: None}
        assert await here.batcher.ask(5) == 10


async def test_an_item_whose_task_was_cancelled_is_left_out() -> None:
    work = Doubling()
    here = Numbers(work)
    async with create_task_group() as group:
        group.start_soon(here.ask, 1)
        await until(lambda: work.batches)
        async with create_task_group() as tasks:
            tasks.start_soon(here.ask, 2)
            await wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        group.start_soon(here.ask, 3)
        work.may_go_on.set()
        await until(lambda: here.answers == {1: 2, 3: 6})
        group.cancel_scope.cancel()
    assert work.batches == [[1], [3]]


class Table:
    """A value that changes. A look-up that is held answers, when let go, what it saw as it began."""

    def __init__(self) -> None:
        self.value = 0
        self.asked: list[set[str]] = []
        self.holds: list[Event] = []
        self.fault: Exception | None = None

    async def look_up(self, keys: Sequence[str]) -> list[int | None]:
        self.asked.append(set(keys))
        saw, fault = self.value, self.fault
        if self.holds:
            await self.holds.pop(0).wait()
        if fault is not None:
            raise fault
        return [None if key == "nothing" else saw for key in keys]


class Readers:
    """Tasks that ask, each with a cancel scope of its own, and what each was told."""

    def __init__(self, table: Table, tasks: anyio.abc.TaskGroup) -> None:
        self._batcher = MicroBatcher(table.look_up, patience=0.5)
        self._tasks = tasks
        self.told: dict[str, int | Exception | None] = {}
        self.scopes: dict[str, CancelScope] = {}

    async def ask(self, *keys: str) -> None:
        """Begin to ask, in this order."""
        for key in keys:
            self._tasks.start_soon(self._ask, key)
        await wait_all_tasks_blocked()

    async def _ask(self, key: str) -> None:
        with CancelScope() as self.scopes[key]:
            try:
                self.told[key] = await self._batcher.ask(key)
            except LookupError as error:
                self.told[key] = error


async def test_an_answer_is_never_older_than_its_question() -> None:
    table, hold = Table(), Event()
    table.holds = [hold]
    async with create_task_group() as tasks:
        readers = Readers(table, tasks)
        await readers.ask("a")
        table.value = 1
        await readers.ask("b", "c", "nothing")
        assert table.asked == [{"a"}]
        hold.set()
    assert table.asked == [{"a"}, {"b", "c", "nothing"}]
    assert readers.told == {"a": 0, "b": 1, "c": 1, "nothing": None}


async def test_nothing_is_remembered() -> None:
    table = Table()
    batcher = MicroBatcher(table.look_up)
    for value in range(3):
        table.value = value
        assert await batcher.ask("a") == value


async def test_an_error_reaches_each_task_of_its_batch_and_no_other() -> None:
    table, hold = Table(), Event()
    table.holds = [hold]
    async with create_task_group() as tasks:
        readers = Readers(table, tasks)
        await readers.ask("a")
        table.fault = fault = LookupError("broken")
        await readers.ask("b", "c")
        hold.set()
        await until(lambda: len(readers.told) == 3)
        table.fault = None
        await readers.ask("d")
    assert readers.told == {"a": 0, "b": fault, "c": fault, "d": 0}


@pytest.mark.parametrize("cancelled", ["b", "c"])
async def test_a_task_that_is_cancelled_before_its_batch_runs_stops_no_other(cancelled: str) -> None:
    table, hold = Table(), Event()
    table.holds = [hold]
    async with create_task_group() as tasks:
        readers = Readers(table, tasks)
        await readers.ask("a")
        await readers.ask("b", "c", "d")
        readers.scopes[cancelled].cancel()
        await wait_all_tasks_blocked()
        hold.set()
    assert readers.told == {key: 0 for key in "abcd" if key != cancelled}


@pytest.mark.parametrize(
    ("cancelled", "told"),
    [("a", {"b": 1, "c": 1}), ("ab", {"c": 1}), ("b", {"a": 0, "c": 0}), ("bc", {"a": 0})],
)
async def test_a_task_that_is_cancelled_while_its_batch_runs_stops_no_other(
    cancelled: str, told: dict[str, int]
) -> None:
    table, first, second = Table(), Event(), Event()
    table.holds = [first, second]
    async with create_task_group() as tasks:
        readers = Readers(table, tasks)
        await readers.ask("first")
        await readers.ask("a", "b", "c")
        first.set()
        await until(lambda: len(table.asked) == 2)
        table.value = 1
        for key in cancelled:
            readers.scopes[key].cancel()
        await wait_all_tasks_blocked()
        second.set()
    assert readers.told == {"first": 0, **told}


async def test_when_all_tasks_are_cancelled_the_next_is_answered() -> None:
    table = Table()
    table.holds = [Event()]
    async with create_task_group() as tasks:
        readers = Readers(table, tasks)
        await readers.ask("a")
        await readers.ask("b", "c")
        for key in "abc":
            readers.scopes[key].cancel()
        await wait_all_tasks_blocked()
        await readers.ask("d")
    assert readers.told == {"d": 0}


async def test_a_batch_that_hangs_holds_up_only_itself() -> None:
    table, hang = Table(), Event()
    table.holds = [hang]
    async with create_task_group() as tasks:
        readers = Readers(table, tasks)
        await readers.ask("a")
        await readers.ask("b")
        await until(lambda: readers.told == {"b": 0})
        hang.set()
    assert readers.told == {"a": 0, "b": 0}


async def test_items_that_come_within_an_interval_are_one_batch_that_can_be_hurried() -> None:
    work = Doubling()
    work.may_go_on.set()
    batcher = MicroBatcher(work, interval=3600)
    assert await batcher.ask(1) == 2
    async with create_task_group() as tasks:
        for number in (2, 3, 4):
            tasks.start_soon(batcher.ask, number)
            await wait_all_tasks_blocked()
        assert work.batches == [[1]]
        batcher.hurry()
    assert work.batches == [[1], [2, 3, 4]]


async def test_who_hurries_while_nothing_is_collected_hurries_the_next_batch_alone() -> None:
    work = Doubling()
    work.may_go_on.set()
    batcher = MicroBatcher(work, interval=3600)
    assert await batcher.ask(1) == 2
    batcher.hurry()
    assert await batcher.ask(2) == 4
    async with create_task_group() as tasks:
        tasks.start_soon(batcher.ask, 3)
        await wait_all_tasks_blocked()
        assert work.batches == [[1], [2]]
        tasks.cancel_scope.cancel()


async def test_batches_begin_no_sooner_than_an_interval_after_the_one_before() -> None:
    began: list[float] = []

    async def note(numbers: Sequence[int]) -> Sequence[int]:
        began.append(anyio.current_time())
        return numbers

    batcher = MicroBatcher(note, interval=0.05)
    asked = anyio.current_time()
    for number in range(4):
        await batcher.ask(number)
    assert len(began) == 4
    assert began[-1] - asked >= 3 * 0.05
