"""Look-ups that many share: each is told what was so after it asked, whatever becomes of the others."""

from collections.abc import Mapping

import anyio
import pytest
from anyio import CancelScope, Event, create_task_group

from app.postgres.shared import Shared
from tests.support.waiting import until


class Source:
    """A table that changes. A look-up that is held ends when it is let go, with what it saw as it began."""

    def __init__(self) -> None:
        self.value = 0
        self.asked: list[set[str]] = []
        self.holds: list[Event] = []
        self.fault: Exception | None = None

    async def look_up(self, keys: set[str]) -> Mapping[str, int]:
        self.asked.append(set(keys))
        saw, fault = self.value, self.fault
        if self.holds:
            await self.holds.pop(0).wait()
        if fault is not None:
            raise fault
        return {key: saw for key in keys if key != "nothing"}


class Askers:
    """Tasks that ask, each with a scope of its own, and what each was told."""

    def __init__(self, source: Source, tasks: anyio.abc.TaskGroup) -> None:
        self._shared = Shared(source.look_up)
        self._tasks = tasks
        self.told: dict[str, int | Exception | None] = {}
        self.scopes: dict[str, CancelScope] = {}

    async def ask(self, *keys: str) -> None:
        """Begin to ask, in this order."""
        for key in keys:
            self._tasks.start_soon(self._ask, key)
        await anyio.wait_all_tasks_blocked()

    async def _ask(self, key: str) -> None:
        with CancelScope() as self.scopes[key]:
            try:
                self.told[key] = await self._shared.find(key)
            except LookupError as error:
                self.told[key] = error


async def test_who_asks_meanwhile_shares_the_next_look_up_and_is_told_what_was_so_then() -> None:
    source, hold = Source(), Event()
    source.holds = [hold]
    async with create_task_group() as tasks:
        askers = Askers(source, tasks)
        await askers.ask("a")
        source.value = 1
        await askers.ask("b", "c", "nothing")
        assert source.asked == [{"a"}]
        hold.set()
    assert source.asked == [{"a"}, {"b", "c", "nothing"}]
    assert askers.told == {"a": 0, "b": 1, "c": 1, "nothing": None}


async def test_nothing_is_remembered() -> None:
    source = Source()
    shared = Shared(source.look_up)
    for value in range(3):
        source.value = value
        assert await shared.find("a") == value


async def test_a_fault_reaches_all_who_share_it_and_nobody_else() -> None:
    source, hold = Source(), Event()
    source.holds = [hold]
    async with create_task_group() as tasks:
        askers = Askers(source, tasks)
        await askers.ask("a")
        source.fault = fault = LookupError("broken")
        await askers.ask("b", "c")
        hold.set()
        await until(lambda: len(askers.told) == 3)
        source.fault = None
        await askers.ask("d")
    assert askers.told == {"a": 0, "b": fault, "c": fault, "d": 0}


@pytest.mark.parametrize("cancelled", ["b", "c"])
async def test_who_is_cancelled_before_the_look_up_takes_nobody_along(cancelled: str) -> None:
    source, hold = Source(), Event()
    source.holds = [hold]
    async with create_task_group() as tasks:
        askers = Askers(source, tasks)
        await askers.ask("a")
        await askers.ask("b", "c", "d")
        askers.scopes[cancelled].cancel()
        await anyio.wait_all_tasks_blocked()
        hold.set()
    assert askers.told == {key: 0 for key in "abcd" if key != cancelled}


@pytest.mark.parametrize(
    ("cancelled", "told"),
    [("a", {"b": 1, "c": 1}), ("ab", {"c": 1}), ("b", {"a": 0, "c": 0}), ("bc", {"a": 0})],
)
async def test_who_is_cancelled_in_the_look_up_takes_nobody_along(
    cancelled: str, told: dict[str, int]
) -> None:
    source, first, second = Source(), Event(), Event()
    source.holds = [first, second]
    async with create_task_group() as tasks:
        askers = Askers(source, tasks)
        await askers.ask("first")
        await askers.ask("a", "b", "c")
        first.set()
        await until(lambda: len(source.asked) == 2)
        source.value = 1
        for key in cancelled:
            askers.scopes[key].cancel()
        await anyio.wait_all_tasks_blocked()
        second.set()
    assert askers.told == {"first": 0, **told}


async def test_when_all_are_cancelled_the_next_is_answered() -> None:
    source = Source()
    source.holds = [Event()]
    async with create_task_group() as tasks:
        askers = Askers(source, tasks)
        await askers.ask("a")
        await askers.ask("b", "c")
        for key in "abc":
            askers.scopes[key].cancel()
        await anyio.wait_all_tasks_blocked()
        await askers.ask("d")
    assert askers.told == {"d": 0}


async def test_a_look_up_that_hangs_holds_up_only_who_shares_it() -> None:
    source, hang = Source(), Event()
    source.holds = [hang]
    async with create_task_group() as tasks:
        askers = Askers(source, tasks)
        await askers.ask("a")
        await askers.ask("b")
        await until(lambda: askers.told == {"b": 0})
        hang.set()
    assert askers.told == {"a": 0, "b": 0}
