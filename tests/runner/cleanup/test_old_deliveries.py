"""The table of deliveries is bounded, whether or not anything is ever sent."""

from uuid import UUID, uuid4

import pytest
from anyio import create_task_group
from prometheus_client import REGISTRY

from app.notifier import queue
from app.notifier.queue import FreeRoom
from app.postgres import Database
from app.runner.cleanup.old_deliveries import (
    bound_deliveries,
    drop_excess,
    give_up_old,
    remove_deleted,
    remove_ended,
)
from app.runner.cleanup.purge import leave_tombstone
from tests.support.deliveries import add, states, stored
from tests.support.waiting import until

YARD = UUID(int=1)
DAY = 86_400.0


async def test_of_too_many_that_wait_the_oldest_are_dropped_and_counted(predictions: Database) -> None:
    await add(predictions, YARD, *range(1, 8))
    await add(predictions, YARD, 1, channel="home")
    async with predictions.connection() as connection:
        assert await drop_excess(connection, 5) == {"ops": 2}
        assert await drop_excess(connection, 5) == {}
    assert [number for number, _ in await states(predictions)] == [3, 4, 5, 6, 7]
    assert await states(predictions, "home") == [(1, "pending")]


async def test_runners_keep_ten_thousand_of_a_channel_and_count_what_they_drop(
    predictions: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    before = dropped()
    async with predictions.connection() as connection:
        await connection.execute(
            "INSERT INTO deliveries (id, scenario_id, event_id, channel, payload)"
            " SELECT gen_random_uuid(), $1, event_id, channel, '{}'"
            " FROM generate_series(1, 11500) AS event_id, unnest($2::text[]) AS channel"
            " WHERE channel = 'ops' OR event_id <= 10000 ORDER BY event_id",
            YARD,
            ["ops", "home"],
        )

    async def is_bounded() -> bool:
        return len(await states(predictions)) == 10_000

    async with create_task_group() as group:
        group.start_soon(bound_deliveries, predictions)
        await until(is_bounded)
        await until(lambda: dropped() == before + 1500)
        group.cancel_scope.cancel()
    assert [number for number, _ in await states(predictions)] == list(range(1501, 11501))
    assert len(await states(predictions, "home")) == 10_000
    assert "too many deliveries wait: dropped the oldest" in capsys.readouterr().out


def dropped() -> float:
    return REGISTRY.get_sample_value("videoanalysis_deliveries_dropped_total", {"channel": "ops"}) or 0.0


async def test_what_is_being_sent_is_not_dropped(predictions: Database) -> None:
    await add(predictions, YARD, 1, 2, 3)
    async with predictions.connection() as connection:
        await queue.claim(connection, [FreeRoom("ops", 1)], uuid4(), 30)
        assert await drop_excess(connection, 2) == {"ops": 1}
    assert [number for number, _ in await states(predictions)] == [1, 3]


async def test_what_waits_for_a_day_is_given_up_and_says_why(predictions: Database) -> None:
    await add(predictions, YARD, 1, 2)
    async with predictions.connection() as connection:
        await connection.execute(
            "UPDATE deliveries SET waits_since = now() - interval '25 hours' WHERE event_id = 1"
        )
        assert await give_up_old(connection, DAY) == 1
        assert await give_up_old(connection, DAY) == 0
    assert await states(predictions) == [(1, "dead"), (2, "pending")]
    assert "no notifier" in (await stored(predictions))[0]["error"]


async def test_what_ended_is_kept_for_some_days(predictions: Database) -> None:
    await add(predictions, YARD, 1, 2, 3)
    async with predictions.connection() as connection:
        await connection.execute(
            "UPDATE deliveries SET state = CASE event_id WHEN 1 THEN 'sent' ELSE 'dead' END,"
            " ended_at = now() - make_interval(days => 10 - 2 * event_id::integer) WHERE event_id < 3"
        )
        assert await remove_ended(connection, 7 * DAY) == 1
    assert await states(predictions) == [(2, "dead"), (3, "pending")]


async def test_deliveries_of_a_deleted_scenario_are_removed(predictions: Database) -> None:
    await add(predictions, YARD, 1, 2)
    await add(predictions, UUID(int=2), 3)
    async with predictions.connection() as connection:
        await leave_tombstone(connection, YARD)
        assert await remove_deleted(connection) == 2
        assert await remove_deleted(connection) == 0
    assert await states(predictions) == [(3, "pending")]
