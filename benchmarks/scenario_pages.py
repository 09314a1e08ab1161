"""Time of the first page of scenarios among many, for each filter. The reference is the page without one.

`--plans` prints the plan of each query, with its buffers. Filling 100,000 scenarios takes about 20 seconds.
"""

import argparse
import sys
import time
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from uuid import UUID

from app.api.queries.batches import find_batch
from app.api.queries.filters import ScenarioFilter, count_scenarios
from app.api.queries.scenarios import list_scenarios
from app.domain.states import State
from app.orchestrator.pruner import add_up_counts
from app.postgres import migrate, open_database
from app.postgres.embedded.server import embedded_server
from benchmarks.event_pages import show_plans
from benchmarks.table import Row, command

SCENARIOS = 100_000
LIMIT = 100  # items per page, the default
LIVE = 50  # scenarios that run; all others are recordings of which one in 500 failed

FILL = """
    INSERT INTO scenarios (id, batch_id, spec, state, attempt, outcome, error, tags, created_at,
                           runner_id, boot_id, lease_renewed_at)
    SELECT gen_random_uuid(), CASE WHEN n % 20 = 1 THEN $3::uuid END, spec,
           CASE WHEN runs THEN 'active' ELSE 'inactive' END, 1,
           CASE WHEN runs THEN NULL WHEN n % 500 = 1 THEN 'failed' ELSE 'completed' END,
           CASE WHEN NOT runs AND n % 500 = 1 THEN 'the file is damaged' END,
           ARRAY['all', 'number ' || n], now() - n * interval '1 second',
           CASE WHEN runs THEN 'local' END, CASE WHEN runs THEN gen_random_uuid() END,
           CASE WHEN runs THEN now() END
      FROM (SELECT n, n % ($1::integer / $2::integer) = 0 AS runs,
                   jsonb_build_object(
                       'name', 'camera ' || n % 50,
                       'source', CASE WHEN n % ($1::integer / $2::integer) = 0 THEN 'rtsp://camera' || n
                                      ELSE 'yard/' || n % 28 || '/' || n || '.mp4' END,
                       'detector', jsonb_build_object(
                           'type', 'onnx', 'model', 'yard.onnx', 'labels', (
                               SELECT jsonb_agg('label ' || l) FROM generate_series(1, 50) AS l))) AS spec
              FROM generate_series(1, $1::integer) AS n) AS numbers
"""
# Three blocks of each label.
FILL_LABELS = """
    INSERT INTO label_blocks (scenario_id, label, block, max_confidence)
    SELECT id, label, block, 0.5
      FROM unnest($1::uuid[]) WITH ORDINALITY AS scenarios (id, n)
     CROSS JOIN LATERAL (VALUES ('', true), ('person', true), ('car', n % 1000 = 0), ('cat', n <= $2),
                         ('dog', n <= 19 * $2))
           AS found (label, is_found)
     CROSS JOIN generate_series(0, 2) AS block
     WHERE is_found
"""
BATCH = UUID(int=1)  # of one in 20 scenarios
PAGES = {
    "without a filter": ScenarioFilter(),
    "that run": ScenarioFilter(state=State.ACTIVE),
    "that wait, of which there are none": ScenarioFilter(state=State.INIT_STARTUP),
    "that have not ended": ScenarioFilter(ended=False),
    "with a live source": ScenarioFilter(live=True),
    "of recordings, oldest first": ScenarioFilter(live=False, order="asc"),
    "by name": ScenarioFilter(order="name"),
    "of a batch, by name": ScenarioFilter(order="name", batch=BATCH),
    "by name, with a text that all have": ScenarioFilter(order="name", text="camera"),
    "by name, with a text that 20 have": ScenarioFilter(order="name", text="9912"),
    "that failed": ScenarioFilter(outcome="failed"),
    "of a name that one in 50 has": ScenarioFilter(name="camera 7"),
    "of a tag that all have": ScenarioFilter(tag="all"),
    "of a tag that one has": ScenarioFilter(tag="number 77"),
    "of a batch": ScenarioFilter(batch=BATCH),
    "of a batch, that failed": ScenarioFilter(batch=BATCH, outcome="failed"),
    "of a source": ScenarioFilter(source="yard/21/77.mp4"),
    "in which a label was found that all have": ScenarioFilter(found="person"),
    "in which a label was found that one in 1,000 has": ScenarioFilter(found="car"),
    "in which a label was found that the oldest 5 % have": ScenarioFilter(found="cat"),
    "in which a label was found that all but the newest 5 % have": ScenarioFilter(found="dog"),
    "in which a label was found that none has": ScenarioFilter(found="nothing"),
    "of a batch, in which a label was found that all have": ScenarioFilter(found="person", batch=BATCH),
    "that failed, in which a label was found that the oldest 5 % have": ScenarioFilter(
        found="cat", outcome="failed"
    ),
    "whose name contains what all have": ScenarioFilter(text="camera"),
    "whose name or file contains what 20 have": ScenarioFilter(text="9912"),
    "whose name or file contains what none has": ScenarioFilter(text="nothing"),
    "that completed and contain what none has": ScenarioFilter(text="nothing", outcome="completed"),
}


async def measure(rounds: int, scenarios: int = SCENARIOS, *, plans: bool = False) -> list[Row]:
    """Fill the database, and read each page `rounds` times."""
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
        async with databases[0].connection() as connection:
            await connection.execute(
                "INSERT INTO batches (id, spec, name, watch, at_once) VALUES ($1, $2, '', true, 4)",
                BATCH,
                {"sources": "*.mp4", "scenario": {}},
            )
            await connection.execute(FILL, scenarios, LIVE, BATCH, timeout=600)
            await add_up_counts(connection)
            await connection.execute("VACUUM ANALYZE scenarios, batch_counts", timeout=600)
            ids = await connection.fetchval("SELECT array_agg(id ORDER BY created_at) FROM scenarios")
            sizes = await connection.fetch(
                "SELECT relname, pg_relation_size(oid) FROM pg_class WHERE relname LIKE 'scenarios%'"
                " AND relkind IN ('r', 'i') ORDER BY 1"
            )
            if plans:
                await show_plans(connection)
        async with databases[1].connection() as connection:
            await connection.execute("ALTER TABLE label_blocks DISABLE TRIGGER USER")  # as fast as possible
            await connection.execute(FILL_LABELS, ids, scenarios // 20, timeout=600)
            await connection.execute(
                "INSERT INTO found_labels SELECT DISTINCT label, scenario_id FROM label_blocks"
            )
            await connection.execute("VACUUM ANALYZE label_blocks, found_labels", timeout=600)
            if plans:
                await show_plans(connection)
        base = 0.0
        for name, wanted in PAGES.items():
            if plans:
                print(f"--- {name}")
            times = []
            for _ in range(1 if plans else 5 * rounds):
                began = time.perf_counter()
                await list_scenarios(databases[0], databases[1], wanted, None, LIMIT, 10)
                times.append((time.perf_counter() - began) * 1000)
            base = base or median(times)
            rows.append(Row("", f"a page of {LIMIT} {name}", "ms", median(times), base))
        times = []
        for _ in range(1 if plans else 5 * rounds):
            began = time.perf_counter()
            await count_scenarios(databases[0])
            times.append((time.perf_counter() - began) * 1000)
        rows.append(Row("", "how many there are in each state", "ms", median(times), base))
        times = []
        for _ in range(1 if plans else 5 * rounds):
            began = time.perf_counter()
            await find_batch(databases[0], BATCH)
            times.append((time.perf_counter() - began) * 1000)
        rows.append(Row("", f"a batch of {scenarios // 20:,} scenarios", "ms", median(times), base))
        total = sum(size for _, size in sizes)
        notes = ", ".join(f"{name} {size / scenarios:.0f}" for name, size in sizes)
        rows.append(Row("", "scenarios on disk", "MB", total / 1e6, total / 1e6, note=f"bytes each: {notes}"))
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--scenarios", type=int, default=SCENARIOS)
    parser.add_argument("--plans", action="store_true")
    given, sys.argv[1:] = parser.parse_known_args()
    command(__doc__, partial(measure, scenarios=given.scenarios, plans=given.plans))
