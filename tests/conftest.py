"""Fixtures of all tests."""

from collections.abc import AsyncIterator, Iterator

import pytest

from app.postgres import Database, open_database
from tests.databases import Databases, databases
from tests.kafka import any_broker


@pytest.fixture(scope="session")
def server() -> Iterator[Databases]:
    """One Postgres server for the whole session."""
    with databases() as running:
        yield running


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a Kafka broker for the whole session: name topics and groups uniquely."""
    with any_broker() as address:
        yield address


@pytest.fixture
async def scenarios_dsn(server: Databases) -> AsyncIterator[str]:
    """The address of an empty scenarios database of this test's own."""
    async with server.copy("app.orchestrator") as dsn:
        yield dsn


@pytest.fixture
async def predictions_dsn(server: Databases) -> AsyncIterator[str]:
    """The address of an empty predictions database of this test's own."""
    async with server.copy("app.runner") as dsn:
        yield dsn


@pytest.fixture
async def scenarios(scenarios_dsn: str) -> AsyncIterator[Database]:
    async with open_database(scenarios_dsn) as database:
        yield database


@pytest.fixture
async def predictions(predictions_dsn: str) -> AsyncIterator[Database]:
    async with open_database(predictions_dsn) as database:
        yield database
