"""The survey: an idle leader asks little, and finds what no signal has told."""

from collections import Counter
from functools import partial
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from anyio import create_task_group

from app.messages import RESULTS, DateResults, Message, results_changes
from app.orchestrator import store
from tests.orchestrator.conftest import PATIENT, World
from tests.support.waiting import until

_KINDS = {"FROM outbox o": "survey", "INTO runners": "heartbeat", "unnest($3::uuid[]": "heartbeat"}


class StatementCounter:
    """Counts the statements that this process sends, by what they are for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[str] = Counter()
        for name in ("execute", "fetch", "fetchrow", "fetchval"):
            monkeypatch.setattr(asyncpg.Connection, name, self._counted(getattr(asyncpg.Connection, name)))

    @property
    def surveys(self) -> int:
        """How many were surveys."""
        return self.counts["survey"]

    def _counted(self, send: Any) -> Any:
        async def counted(connection: Any, sql: str, *values: Any, **options: Any) -> Any:
            kind = "other"
            for part, name in _KINDS.items():
                kind = name if part in sql else kind
            self.counts[kind] += 1
            return await send(connection, sql, *values, **options)

        return counted


async def test_an_idle_leader_sends_three_statements_in_each_interval(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.orchestrator(timing=PATIENT, alone=True), world.runner() as runner:
        # One that still runs: nothing about it needs the leader.
        await runner.started(await world.create())
        await until(lambda: world.knows_runners(1))
        statements = StatementCounter(monkeypatch)
        await until(lambda: statements.surveys >= 5)  # the start is over
        statements.counts.clear()
        await until(lambda: statements.surveys >= 40)
        # That it holds the lock, and whether scenarios wait; the pruner's sums are rare.
        assert statements.counts["other"] <= 2 * statements.surveys + 10, statements.counts


async def test_a_message_is_published_though_no_signal_came(world: World) -> None:
    """Its process died between the transaction and the signal."""
    published: list[Message] = []

    async def note(message: Message) -> None:
        published.append(message)

    async with world.orchestrator(timing=PATIENT), world.runner() as runner, create_task_group() as group:
        group.start_soon(partial(world.bus.consume, results_changes, note, group=RESULTS))
        await runner.started(await world.create())  # the relays have looked, and wait
        change = DateResults(uuid4(), 1, None)
        async with world.database.transaction() as connection:
            await store.send(connection, change.scenario_id, results_changes, change)
        await until(lambda: published == [change], timeout=30)
        group.cancel_scope.cancel()
