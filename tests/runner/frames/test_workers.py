"""Threads that all runs share."""

from threading import Event, current_thread

import pytest

from app.runner.frames import workers as module
from app.runner.frames.workers import Task, WorkerLanes, Workers
from tests.support.waiting import until


class Tasks:
    """Tasks that end when they are told to."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.threads: set[str] = set()
        self.go = Event()

    def task(self, number: int) -> Task:
        def work() -> bool:
            self.begun.append(number)
            self.threads.add(f"{current_thread().ident}")
            self.go.wait(10)
            return False

        return work


async def test_at_most_count_tasks_are_done_at_once_and_the_rest_in_their_order() -> None:
    tasks, workers = Tasks(), Workers(2)
    for number in range(20):
        workers.submit(tasks.task(number))
    await until(lambda: len(tasks.begun) == 2)
    tasks.go.set()
    await until(lambda: len(tasks.begun) == 20)
    assert sorted(tasks.begun) == list(range(20))
    assert len(tasks.threads) <= 2


async def test_a_task_with_more_to_do_lets_waiting_tasks_go_first() -> None:
    done: list[str] = []
    began, go = Event(), Event()

    def several(name: str) -> Task:
        def work() -> bool:
            began.set()
            go.wait(10)
            done.append(name)
            return done.count(name) < 3

        return work

    workers = Workers(1)
    workers.submit(several("a"))
    await until(began.is_set)
    workers.submit(several("b"))
    go.set()
    await until(lambda: len(done) == 6)
    assert done == ["a", "b"] * 3


async def test_idle_threads_end_and_are_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_LINGER", 0.01)
    tasks, workers = Tasks(), Workers(3)
    tasks.go.set()
    for number in range(3):
        workers.submit(tasks.task(number))
        await until(lambda: workers.threads == 0)
    assert tasks.begun == [0, 1, 2]


async def test_a_task_that_does_not_end_blocks_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STUCK_AFTER", 0.05)
    monkeypatch.setattr(module, "_LINGER", 0.01)
    stuck, other, workers = Tasks(), Tasks(), Workers(1)
    workers.submit(stuck.task(0))
    await until(lambda: stuck.begun)
    other.go.set()
    workers.submit(other.task(1))
    workers.submit(other.task(2))
    assert other.begun == []

    def done() -> bool:
        workers.replace_stuck()
        return other.begun == [1, 2]

    await until(done)
    stuck.go.set()
    await until(lambda: workers.threads == 0)


async def test_it_goes_on_with_the_threads_that_could_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, workers = Tasks(), Workers(2)
    tasks.go.set()
    workers.submit(tasks.task(0))

    def start(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module, "start_thread", start)
    workers.submit(tasks.task(1))
    await until(lambda: tasks.begun == [0, 1])


async def test_servers_that_do_not_answer_hold_up_no_detector_of_others() -> None:
    lanes, tasks, other = WorkerLanes(Workers(1)), Tasks(), Tasks()
    away = lanes.lane("http://away")
    for number in range(2 * away.count):
        away.submit(tasks.task(number))
    await until(lambda: len(tasks.begun) == away.count)
    assert lanes.lane("http://away") is away
    other.go.set()
    for workers in (lanes.lane("http://works"), lanes.lane("")):
        workers.submit(other.task(0))
    assert lanes.lane("") is lanes.cores
    await until(lambda: other.begun == [0, 0])
    tasks.go.set()
    await until(lambda: len(tasks.begun) == 2 * away.count)
