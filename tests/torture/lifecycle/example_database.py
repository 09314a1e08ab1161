"""A database for thousands of interleavings, and all that is stored in it."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from uuid import UUID

import msgspec
import uvloop

from app.postgres import Connection, Database, open_connection, open_database, prepare
from tests.support.databases import Databases
from tests.torture.lifecycle.verifier import Truth, Verdict, verify
from tests.torture.muted_log import muted_log

DUE_NOW = "UPDATE scenarios SET not_before = '-infinity'"
AGE = [
    f"UPDATE {table} - interval '10 days' WHERE runner_id = $1 AND boot_id = $2"
    for table in (
        "scenarios SET lease_renewed_at = lease_renewed_at",
        "runners SET heartbeat_at = heartbeat_at",
    )
]


class ScenarioRow(msgspec.Struct):
    """A row of scenarios."""

    id: UUID
    state: str
    outcome: str | None
    attempt: int
    runner_id: str | None
    boot_id: UUID | None
    failures: int
    next_frame: int
    deleted_at: str | None


class EventRow(msgspec.Struct):
    """A row of scenario_events."""

    scenario_id: UUID
    from_state: str | None
    to_state: str
    attempt: int


class OutboxRow(msgspec.Struct):
    """A row of the outbox."""

    topic: str
    key: str
    message: msgspec.Raw


class Stored(msgspec.Struct):
    """All that is stored."""

    scenarios: list[ScenarioRow]
    history: list[EventRow]
    outbox: list[OutboxRow]
    answers: dict[UUID, str]


_TABLES = ("outbox", "scenario_events", "scenarios", "handled_commands", "runners")
_EMPTY = ";".join(f"DELETE FROM {table}" for table in _TABLES)  # noqa: S608
_TRUNCATE = f"TRUNCATE {','.join(_TABLES)}"
_KINDS: tuple[Any, ...] = (list[ScenarioRow], list[EventRow], list[OutboxRow], dict[UUID, str])
_EVERYTHING = """
    SELECT (SELECT coalesce(jsonb_agg(s), '[]') FROM scenarios s) AS scenarios,
           (SELECT coalesce(jsonb_agg(e ORDER BY id), '[]') FROM scenario_events e) AS history,
           (SELECT coalesce(jsonb_agg(o ORDER BY id), '[]') FROM outbox o) AS outbox,
           (SELECT coalesce(jsonb_object_agg(command_id, answer), '{}') FROM handled_commands) AS answers
"""


class ExampleDatabase:
    """A database and an event loop for all examples, and what was found in them.

    If `comparing`, an example fails if store and model, or lifecycle and model, do not agree, or if the
    verifier finds something.
    """

    def __init__(
        self,
        dsn: str,
        database: Database,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        *,
        comparing: bool,
    ) -> None:
        self.dsn = dsn
        self.database = database
        self.connection = connection
        self.comparing = comparing
        self.interleavings = 0
        self.steps = 0
        self.verdict = Verdict()
        self._loop = loop

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(work)

    async def read(self) -> Stored:
        row = await self.connection.fetchrow(_EVERYTHING)
        assert row is not None
        return Stored(*(msgspec.json.decode(text, type=kind) for text, kind in zip(row, _KINDS, strict=True)))

    async def verify(self, truth: Truth) -> Verdict:
        """Judge what an interleaving left, and remove it."""
        verdict = await verify(self.connection, truth)
        self.interleavings += 1
        self.verdict += verdict
        # Emptying is quick, but leaves ever more that every look has to pass over.
        await self.connection.execute(_EMPTY if self.interleavings % 50 else _TRUNCATE)
        return verdict


@contextmanager
def example_database(server: Databases, *, comparing: bool = True) -> Iterator[ExampleDatabase]:
    """Open one database for all examples, on one event loop: opening takes longer than an example."""
    with muted_log(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop, stack = runner.get_loop(), AsyncExitStack()
        enter = stack.enter_async_context
        try:
            dsn = loop.run_until_complete(enter(server.copy("app.scenarios")))
            database = loop.run_until_complete(enter(open_database(dsn, size=3)))
            connection = loop.run_until_complete(enter(open_connection(dsn)))
            loop.run_until_complete(prepare(connection))
            yield ExampleDatabase(dsn, database, connection, loop, comparing=comparing)
        finally:
            loop.run_until_complete(stack.aclose())
