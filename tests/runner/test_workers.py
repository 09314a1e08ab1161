"""Threads that all runs share."""

from threading import Event, current_thread

import pytest

from app.runner import workers as module
from app.runner.workers import Turn, Workers
from tests.support.waiting import until


class Turns:
    """Turns that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.threads: set[str] = set()
        self.go = Event()

    def turn(self, number: int) -> Turn:
        def work() -> bool:
            self.begun.append(number)
            self.threads.add(f"{current_thread().ident}")
            self.go.wait(10)
            return False

        return work


async def test_no_more_than_so_many_are_done_at_once_and_the_rest_in_their_order() -> None:
    turns, workers = Turns(), Workers(2)
    for number in range(20):
        workers.offer(turns.turn(number))
    await until(lambda: len(turns.begun) == 2)
    turns.go.set()
    await until(lambda: len(turns.begun) == 20)
    assert sorted(turns.begun) == list(range(20))
    assert len(turns.threads) <= 2


async def test_whoever_has_more_to_do_waits_for_others_to_have_their_turn() -> None:
    done: list[str] = []
    began, go = Event(), Event()

    def several(name: str) -> Turn:
        def work() -> bool:
            began.set()
            go.wait(10)
            done.append(name)
            return done.count(name) < 3

        return work

    workers = Workers(1)
    workers.offer(several("a"))
    await until(began.is_set)
    workers.offer(several("b"))
    go.set()
    await until(lambda: len(done) == 6)
    assert done == ["a", "b"] * 3


async def test_threads_that_are_not_needed_are_given_back_and_begun_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LINGER", 0.01)
    turns, workers = Turns(), Workers(3)
    turns.go.set()
    for number in range(3):
        workers.offer(turns.turn(number))
        await until(lambda: workers.threads == 0)
    assert turns.begun == [0, 1, 2]


async def test_a_turn_that_does_not_end_keeps_no_other_from_being_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "_LINGER", 0.01)
    stuck, other, workers = Turns(), Turns(), Workers(1)
    workers.offer(stuck.turn(0))
    await until(lambda: stuck.begun)
    other.go.set()
    workers.offer(other.turn(1))
    workers.offer(other.turn(2))
    assert other.begun == []

    def done() -> bool:
        workers.look()
        return other.begun == [1, 2]

    await until(done)
    stuck.go.set()
    await until(lambda: workers.threads == 0)


async def test_it_makes_do_with_the_threads_that_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, workers = Turns(), Workers(2)
    turns.go.set()
    workers.offer(turns.turn(0))

    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "start_thread", start)
    workers.offer(turns.turn(1))
    await until(lambda: turns.begun == [0, 1])
