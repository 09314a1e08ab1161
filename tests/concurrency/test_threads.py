"""Threads that do one piece of work after the other."""

import os
import subprocess
import sys
import threading
from contextvars import ContextVar
from queue import SimpleQueue

import psutil
import pytest

from app.concurrency import threads
from app.concurrency.threads import NICENESS, DedicatedThread, start_thread
from tests.support.paths import ROOT
from tests.support.waiting import until

LONGEST = 30.0

name = ContextVar("name", default="nobody")
Doing = tuple[threading.Thread, int, str]  # who, how nice, and in which context


@pytest.fixture(autouse=True)
def none_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that other tests left do none of the work here."""
    monkeypatch.setattr(threads, "_LINGER", 1.0)
    monkeypatch.setattr(threads, "_idle", {True: [], False: []})


def do(*, is_nice: bool = True) -> Doing:
    """Who did a piece of work that is done by now."""
    done: SimpleQueue[Doing] = SimpleQueue()

    def work(word: str) -> None:
        assert word == "go"
        niceness = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        done.put((threading.current_thread(), niceness, name.get()))

    start_thread("detect", work, "go", is_nice=is_nice)
    return done.get(timeout=LONGEST)


async def idle(thread: threading.Thread) -> None:
    await until(lambda: thread.name == "idle")


async def test_a_thread_that_has_done_its_work_does_the_next_in_that_s_own_context() -> None:
    name.set("first")
    first, _, context = do()
    assert context == "first"
    await idle(first)
    name.set("second")
    second, _, context = do()
    assert (second, context) == (first, "second")


async def test_work_that_comes_while_a_thread_is_busy_gets_another_thread() -> None:
    go = threading.Event()

    def wait() -> None:
        go.wait(LONGEST)

    start_thread("decode", wait)
    busy = next(thread for thread in threading.enumerate() if thread.name == "decode")
    other, _, _ = do()
    assert other is not busy
    go.set()
    await idle(busy)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a nice value for each thread")
async def test_work_that_is_not_nice_never_runs_in_a_nice_thread() -> None:
    nice, niceness, _ = do()
    assert niceness == min(os.getpriority(os.PRIO_PROCESS, 0) + NICENESS, 19)
    await idle(nice)
    other, niceness, _ = do(is_nice=False)
    assert other is not nice
    assert niceness == os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a nice value for each thread")
def test_slow_work_gives_way_in_a_process_that_is_nice_itself() -> None:
    """A lower nice value than the process's own may be set by root alone."""
    script = """
import os, subprocess, sys, threading
from queue import SimpleQueue
from app.concurrency.threads import start_thread
from app.video.decoder.confinement import confine
if sys.argv[1:]:
    confine()
    print(os.getpriority(os.PRIO_PROCESS, 0))
else:
    done = SimpleQueue()
    start_thread("decode", lambda: done.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id())))
    print(os.getpriority(os.PRIO_PROCESS, 0), done.get(timeout=30), flush=True)
    subprocess.run([sys.executable, "-c", sys.orig_argv[2], "child"], check=True)
"""
    command = ["nice", "-n", "12", sys.executable, "-c", script]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    own, thread, child = map(int, result.stdout.split())
    assert own >= 12
    assert (thread, child) == (19, 19)


async def test_a_thread_that_waits_in_vain_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_LINGER", 0.01)
    thread, _, _ = do()
    await until(lambda: not thread.is_alive())
    again, _, _ = do()
    assert again is not thread


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
async def test_what_threads_freed_is_returned_once_the_last_of_them_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "_LINGER", 0.5)
    process = psutil.Process()
    before = process.memory_info().rss

    def work(done: threading.Event) -> None:
        pieces = [bytearray(100_000) for _ in range(2000)]
        del pieces[::2], pieces[-1]  # the rest keeps the arena from being cut off at its end
        kept.append(pieces)
        done.set()

    kept: list[list[bytearray]] = []
    done = [threading.Event() for _ in range(3)]
    for each in done:
        start_thread("decode", work, each)
    for each in done:
        await until(each.is_set)
    allocated = len(done) * 2000 * 100_000  # half of it is kept
    await until(lambda: process.memory_info().rss - before < 0.6 * allocated)


def test_a_dedicated_thread_does_all_calls_whichever_thread_asks() -> None:
    def who(word: str) -> tuple[str, threading.Thread]:
        return word, threading.current_thread()

    dedicated = DedicatedThread("detect", who)
    answers: list[tuple[str, threading.Thread]] = []
    askers = [threading.Thread(target=lambda: answers.append(dedicated("a"))) for _ in range(5)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(LONGEST)
    answers.append(dedicated("a"))
    assert len(answers) == 6
    assert len(set(answers)) == 1
    assert answers[0][1] not in (*askers, threading.current_thread())
    dedicated.close()


def test_an_exception_in_a_dedicated_thread_is_raised_in_the_thread_that_asked() -> None:
    def fail_if_odd(number: int) -> int:
        if number % 2:
            raise ValueError("odd")
        return number

    dedicated = DedicatedThread("detect", fail_if_odd)
    with pytest.raises(ValueError, match="odd"):
        dedicated(1)
    assert dedicated(2) == 2
    dedicated.close()


async def test_a_closed_dedicated_thread_ends_and_takes_no_more_calls() -> None:
    dedicated = DedicatedThread("detect", threading.current_thread)
    thread = dedicated()
    dedicated.close()
    await idle(thread)
    with pytest.raises(RuntimeError, match="closed"):
        dedicated()
