"""Time of a page of events among many stored ones: the first page, and one that begins in the middle.

Half of the events are in one scenario, half in fifty others. The reference is the first page without a
filter. With `--events 10000000` it takes about ten minutes; `--plans` prints the plan of each query, with its
buffers.
"""

import argparse
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from msgspec import Struct

from app.api.queries.events import (
    ClockPosition,
    EventFilter,
    Order,
    StoragePosition,
    VideoPosition,
    list_dated_events,
    list_events,
    list_stored_events,
)
from app.postgres import Connection, Database, migrate, open_database
from app.postgres.embedded.server import embedded_server
from benchmarks.table import Row, command
from tests.support.rows import BEGIN, add_checkpoint, add_scenario

EVENTS = 1_000_000
OTHERS = 50
PART = 250_000
LIMIT = 100  # items per page, the default
OPEN = 20  # events of each scenario that have not ended

# Twelve zones, lines and rules and eleven labels; one label and one alert rule are rare.
FILL = """
    INSERT INTO events (scenario_id, event_id, start_frame, end_frame, best_frame, track_id,
                        start_time, end_time, best_time, at, best_confidence, kind, state, name, label,
                        direction, best_box)
    SELECT $1, n, 10 * n, 10 * n + 9, 10 * n + 3, CASE kind WHEN 'presence' THEN NULL ELSE n / 3 END,
           n, n + 0.9, n + 0.3, $2::timestamptz + n * interval '1 second', 0.5, kind,
           CASE WHEN n > $5 - 20 THEN 'open' ELSE 'ended' END,
           CASE kind WHEN 'zone' THEN 'zone ' || n % 6 WHEN 'line' THEN 'line ' || n % 3
                     WHEN 'alert' THEN CASE n % 100000 WHEN 9 THEN 'rare' ELSE 'rule ' || n % 2 END
                     ELSE '' END,
           CASE WHEN n % 100000 = 7 THEN 'zebra' ELSE 'label ' || (n / 4) % 10 END,
           CASE kind WHEN 'line' THEN 'left' END, '{1,2,3,4}'
      FROM (SELECT n, CASE WHEN n % 100 = 9 THEN 'alert'
                           ELSE (ARRAY['object', 'zone', 'line', 'presence'])[1 + n % 4] END AS kind
              FROM generate_series($3::bigint, $4::bigint) AS n) AS numbers
"""


async def fill(connection: Connection, scenario_ids: list[UUID], count: int) -> None:
    """Store events faster than runs would: without indexes, which are created again."""
    await connection.execute("SET statement_timeout = 0")
    await connection.execute("SET maintenance_work_mem = '1GB'")
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'events' AND indexname <> 'events_pkey'"
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['indexname']}")
    for number, scenario_id in enumerate(scenario_ids):
        own = count // 2 if number == 0 else count // 2 // OTHERS
        for start in range(1, own + 1, PART):
            end = min(start + PART - 1, own)
            begin = BEGIN + timedelta(milliseconds=number)
            await connection.execute(FILL, scenario_id, begin, start, end, own, timeout=3600)
        await connection.execute(
            """
            UPDATE checkpoints AS c SET (open_events, open_end_frames, open_end_times) = (
                SELECT array_agg(event_id), array_agg(end_frame), array_agg(end_time) FROM events AS e
                 WHERE e.scenario_id = c.scenario_id AND event_id > $2)
             WHERE scenario_id = $1
            """,
            scenario_id,
            own - OPEN,
        )
    for index in indexes:
        await connection.execute(index["indexdef"], timeout=3600)
    await connection.execute("VACUUM ANALYZE", timeout=3600)


async def show_plans(connection: Connection) -> None:
    """Print the plan of each query from now on: the pool keeps its connection."""
    await connection.execute("LOAD 'auto_explain'")
    for name, value in {"min_duration": "0", "analyze": "on", "buffers": "on", "level": "notice"}.items():
        await connection.execute(f"SET auto_explain.log_{name} = '{value}'")
    connection.add_log_listener(lambda _, message: print(message, "\n"))


class Question(Struct, frozen=True):
    """`ask` reads a page that begins after a position, or the first one."""

    ask: Callable[[Any], Awaitable[Any]]
    middle: VideoPosition | StoragePosition | ClockPosition


def questions(
    scenarios: Database, predictions: Database, scenario_id: UUID, count: int
) -> dict[str, Question]:
    """Return what is measured; the first is the reference."""
    middle = count // 4  # half of the events are of this scenario
    date = BEGIN + timedelta(seconds=middle)

    def of_one(start: float | None = None, order: Order = "asc", **wanted: Any) -> Question:
        between = (start, None)
        return Question(
            lambda after: list_events(
                predictions, [scenario_id], EventFilter(**wanted), between, order, after, LIMIT
            ),
            VideoPosition(scenario_id, middle, middle),
        )

    def of_all(order: Order = "asc", **wanted: Any) -> Question:
        return Question(
            lambda after: list_stored_events(
                scenarios, predictions, EventFilter(**wanted), order, after, LIMIT
            ),
            StoragePosition(middle),
        )

    def dated(start: datetime | None, order: Order = "asc", **wanted: Any) -> Question:
        between = (start, None)
        return Question(
            lambda after: list_dated_events(
                scenarios, predictions, EventFilter(**wanted), between, order, after, LIMIT
            ),
            ClockPosition(date, scenario_id, middle),
        )

    return {
        "of one scenario": of_one(),
        "of one: a time in the middle": of_one(middle),
        "of one: the newest": of_one(order="desc"),
        "of one: a kind, from the middle on": of_one(middle, kind="line"),
        "of one: the newest of a kind": of_one(order="desc", kind="presence"),
        "of one: a frequent label": of_one(label="label 3"),
        "of one: a rare label, newest first": of_one(order="desc", label="zebra"),
        "of one: a frequent zone": of_one(name="zone 1"),
        "of one: a rare rule": of_one(name="rare"),
        "of one: kind, name and label": of_one(middle, kind="zone", name="zone 1", label="label 3"),
        "of one: a label that is nowhere": of_one(label="unicorn"),
        "of one: an object": of_one(track_id=round(middle / 3)),
        "of one: open": of_one(state="open"),
        "of one: open, of a kind": of_one(state="open", kind="zone"),
        "of one: interrupted": of_one(state="interrupted"),
        "of one: ended, of a label": of_one(state="ended", label="label 3"),
        "of all": of_all(),
        "of all: the newest alerts": of_all("desc", kind="alert"),
        "of all: a frequent label": of_all(label="label 3"),
        "of all: a rare label": of_all(label="zebra"),
        "of all: a label that is nowhere": of_all(label="unicorn"),
        "of all: a frequent zone": of_all(name="zone 1"),
        "of all: a rare rule, newest first": of_all("desc", name="rare"),
        "of all: kind, name and label": of_all(kind="zone", name="zone 1", label="label 3"),
        "of all: open": of_all(state="open"),
        "of all: the newest that ended, of a kind": of_all("desc", state="ended", kind="object"),
        "of all: a date": dated(date),
        "of all: the newest by date": dated(BEGIN, "desc"),
        "of all: alerts from a date on": dated(date, kind="alert"),
        "of all: a rare label before now": dated(None, "desc", label="zebra"),
        "of all: a frequent zone from a date on": dated(date, name="zone 1"),
        "of all: open from a date on": dated(date, state="open"),
    }


async def measure(rounds: int, events: int = EVENTS, *, plans: bool = False) -> list[Row]:
    """Fill both databases, and read each page `rounds` times."""
    rows = []
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        names = ["scenarios", "predictions"]
        settings = {"fsync": "off"}  # only filling writes
        server = await stack.enter_async_context(
            embedded_server(Path(folder), databases=names, settings=settings)
        )
        databases = []
        for name in names:
            await migrate(server.dsn(name), f"app.{name}")
            databases.append(await stack.enter_async_context(open_database(server.dsn(name))))
        scenarios, predictions = databases
        scenario_ids = [await add_scenario(scenarios) for _ in range(1 + OTHERS)]
        for scenario_id in scenario_ids:
            await add_checkpoint(predictions, scenario_id)
        async with predictions.connection() as connection:
            await fill(connection, scenario_ids, events)
            sizes = await connection.fetch(
                "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname LIKE 'events%'"
                " AND relkind IN ('r', 'i') ORDER BY 1"
            )
            if plans:
                await show_plans(connection)
        asked = questions(scenarios, predictions, scenario_ids[0], events)
        base = 0.0
        for name, question in asked.items():
            for after, suffix in ((None, ""), (question.middle, ", the next after one in the middle")):
                if plans:
                    print(f"--- {name}{suffix}")
                times = []
                for _ in range(1 if plans else 5 * rounds):
                    began = time.perf_counter()
                    await question.ask(after)
                    times.append((time.perf_counter() - began) * 1000)
                base = base or median(times)
                rows.append(Row("", f"a page of {LIMIT} {name}{suffix}", "ms", median(times), base))
        total = sum(size for _, size in sizes)
        notes = ", ".join(f"{name} {size / events:.0f}" for name, size in sizes)
        rows.append(
            Row("", "events on disk", "MB", total / 1e6, total / 1e6, note=f"bytes an event: {notes}")
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--plans", action="store_true")
    given, sys.argv[1:] = parser.parse_known_args()
    command(__doc__, partial(measure, events=given.events, plans=given.plans))
