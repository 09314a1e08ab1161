"""A runner's pool: statements that store are planned once, and read by index, however small tables are."""

from uuid import uuid4

import pytest
from msgspec.structs import replace

from app.domain.event import Carried, Event
from app.postgres import open_planned_once
from app.predictions.checkpoint import AnalysisUpdate, Batch, BatchWrite
from app.runner.storing import checkpoints
from tests.support.batches import batch
from tests.support.checkpoints import claim, new_fence

BATCHES = 8  # by its sixth execution, PostgreSQL has chosen how it plans a statement


def of_a_camera(frame: int) -> Batch:
    """Return a batch of one frame, in which an event begins and ends."""
    seen = Event(
        frame + 1, "object", "ended", "car", 7, None, None,
        frame, frame / 30, frame, frame / 30, frame, frame / 30, (1.0, 2.0, 3.0, 4.0), 0.5,
    )  # fmt: skip
    return replace(batch(frame, frame + 1), analysis=AnalysisUpdate(Carried(8, frame + 2), (seen,)))


@pytest.mark.parametrize("cameras", [1, 3])
async def test_no_statement_that_stores_is_planned_again_or_reads_a_table(
    predictions_dsn: str, cameras: int
) -> None:
    fences = [new_fence(1, uuid4()) for _ in range(cameras)]
    async with open_planned_once(predictions_dsn) as database, database.connection() as connection:
        for fence in fences:
            await claim(database, fence)
        for frame in range(BATCHES):
            writes = [BatchWrite(fence, of_a_camera(frame)) for fence in fences]
            assert set(await checkpoints.write_batches(connection, writes)) == {"stored"}
        known = await connection.fetch(
            "SELECT name, cardinality(parameter_types) AS count, generic_plans, custom_plans"
            " FROM pg_prepared_statements WHERE statement ~ 'INTO predictions' AND statement !~ 'pg_prepared'"
        )
        assert [(one["generic_plans"], one["custom_plans"]) for one in known] == [(BATCHES, 0)]
        nulls = ", ".join(["NULL"] * known[0]["count"])
        plan = await connection.fetch(f'EXPLAIN EXECUTE "{known[0]["name"]}"({nulls})')
        assert not any("Seq Scan" in line for (line,) in plan)
