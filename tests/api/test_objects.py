"""Pages of the events of one object."""

from app.api.queries.events import EventFilter, Order, list_events
from app.postgres import Database
from tests.support.rows import add_checkpoint, add_found, add_scenario

EVENTS = 2000


async def test_a_page_reads_no_more_of_an_object_than_it_shows(
    scenarios: Database, predictions: Database
) -> None:
    scenario_id = await add_scenario(scenarios)
    await add_checkpoint(predictions, scenario_id)
    times = {"start_time": 0.5, "best_time": float(EVENTS), "end_time": float(EVENTS)}
    await add_found(predictions, scenario_id, 1, kind="zone", name="yard", **times)
    async with predictions.connection() as connection:
        columns = await connection.fetchval(
            "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = 'events'::regclass"
            " AND attnum > 0 AND NOT attisdropped AND attname <> ALL ($1)",
            ["event_id", "start_time", "storage_order"],
        )
        await connection.execute(
            f"INSERT INTO events (event_id, start_time, {columns})"  # noqa: S608
            f" SELECT n, n / 2.0, {columns} FROM events, generate_series(2, $1::bigint) AS n",
            EVENTS,
        )
        await connection.execute("ANALYZE events")

    async def read_events() -> int:
        async with predictions.connection() as connection:
            await connection.execute("SELECT pg_stat_force_next_flush()")
            found: int = await connection.fetchval(
                "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'events'"
            )
        return found

    async def page(order: Order) -> list[int]:
        items, _ = await list_events(
            predictions, [scenario_id], EventFilter(track_id=1), (None, None), order, None, 20
        )
        return [item.event_id for item in items]

    before = await read_events()
    assert await page("asc") == list(range(1, 21))
    assert await page("desc") == list(range(EVENTS, EVENTS - 20, -1))
    assert 40 <= await read_events() - before < 200  # fewer: not all were counted
