"""Fixtures of all tests, and the time limit of async ones."""

import gc
import os
from asyncio import timeout
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from functools import wraps
from inspect import iscoroutinefunction

import cv2
import pytest

from app.postgres import Database, open_database
from tests.support.databases import Databases, databases
from tests.support.kafka import LocalBroker, any_broker, local_broker
from tests.support.kept_clips import FOLDER
from tests.support.missing import broker_or_skip
from tests.support.scheduling import Scheduling, rank
from tests.support.secure_listener import SecureListener
from tests.support.service import ServiceProcess
from tests.support.temporary import MEMORY, fast_folder, has_room
from tests.torture.battery import table

cv2.setNumThreads(1)  # as app.process does: OpenCV's threads would change the order of detections

_ROOM = 8 * 2**30  # bytes
SHARE = 0.8
"""The share of its time limit after which an async test is cancelled, which shows what it waited for.

At the limit itself the whole process is ended, and every thread's stack is shown instead.
"""


def pytest_configure(config: pytest.Config) -> None:
    """Fork services; keep clips for the whole session, in a folder that the processes of `-n` share.

    Temporary folders are in memory if there is room for those of a whole session.
    """
    gc.disable()  # see pytest_collection_finish
    ServiceProcess.may_fork = True
    if has_room(_ROOM):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    if FOLDER not in os.environ:
        stack = ExitStack()
        os.environ[FOLDER] = str(stack.enter_context(fast_folder("videoanalysis-clips-")))
        config.add_cleanup(stack.close)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        own = item.get_closest_marker("timeout")
        limit = float(own.args[0] if own else item.config.getini("timeout"))
        item.obj = _limited(item.obj, SHARE * limit)


def _limited(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def within(**fixtures: object) -> None:
        async with timeout(seconds):
            await test(**fixtures)

    return within


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """If `-n` starts several processes, begin with the tests that take longest."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays until the end: it took a third of the CPU time of collecting."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for each in terminalreporter.stats.values() for report in each]
    calls = [each for each in reports if isinstance(each, pytest.TestReport) and each.when == "call"]
    lines = table(value for report in calls for value in report.user_properties)
    if lines:
        terminalreporter.section("fault and attack battery")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(scope="session")
def server() -> Iterator[Databases]:
    """One Postgres server for the whole session."""
    with databases() as running:
        yield running


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a Kafka broker for the whole session: name topics and groups uniquely."""
    with broker_or_skip(any_broker()) as address:
        yield address


@pytest.fixture(scope="session")
def own_broker() -> Iterator[LocalBroker]:
    """A broker that tests may kill and freeze. It has a second listener, which asks for passwords."""
    with broker_or_skip(local_broker(secure=True)) as broker:
        yield broker


@pytest.fixture
def secure(own_broker: LocalBroker) -> SecureListener:
    assert own_broker.secure is not None
    return own_broker.secure


@pytest.fixture
async def scenarios_dsn(server: Databases) -> AsyncIterator[str]:
    """The address of an empty scenarios database of this test's own."""
    async with server.copy("app.scenarios") as dsn:
        yield dsn


@pytest.fixture
async def predictions_dsn(server: Databases) -> AsyncIterator[str]:
    """The address of an empty predictions database of this test's own."""
    async with server.copy("app.predictions") as dsn:
        yield dsn


@pytest.fixture
async def scenarios(scenarios_dsn: str) -> AsyncIterator[Database]:
    async with open_database(scenarios_dsn) as database:
        yield database


@pytest.fixture
async def predictions(predictions_dsn: str) -> AsyncIterator[Database]:
    async with open_database(predictions_dsn) as database:
        yield database
