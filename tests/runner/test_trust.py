"""Runners trust what is on the bus: what a forged start and a forged drop of results do (SECURITY.md)."""

from pathlib import Path

import asyncpg
from msgspec.structs import replace

from app.domain.detector_config import Mock
from app.domain.stored_spec import encode_spec
from app.messages import DropResults, StartRun, results_commands
from app.postgres import Database
from tests.runner.cleanup.test_evidence_cap import add_pictures
from tests.runner.test_service import INSTANCE, LONG, ended, world
from tests.support.waiting import until

NOTHING_FOUND = replace(LONG, detector=Mock(max_detections=0))
FOUND = replace(LONG, detector=Mock(max_detections=1000))
TABLES = ("predictions", "events", "event_pictures", "evidence")


async def test_who_can_write_claims_a_scenario_and_stores_predictions_of_their_own(
    predictions: Database, tmp_path: Path
) -> None:
    async with world(predictions, tmp_path) as acting:
        scenario_id = await acting.start(NOTHING_FOUND)

        async def checkpoint() -> asyncpg.Record | None:
            async with predictions.connection() as connection:
                return await connection.fetchrow(
                    "SELECT * FROM checkpoints WHERE scenario_id = $1", scenario_id
                )

        async def has_stored() -> bool:
            row = await checkpoint()
            return bool(row and row["next_frame"])

        async def has_found() -> bool:
            row = await checkpoint()
            return bool(row and row["attempt"] == 7 and row["detections"])

        await until(has_stored)
        before = await checkpoint()
        assert before
        assert (before["attempt"], before["detections"]) == (1, 0)
        fenced = ended("Fenced")
        await acting.command(StartRun(INSTANCE, scenario_id, 7, encode_spec(FOUND)))
        await until(has_found)
        # What was stored stays, and the run that the orchestrator started may not go on.
        await until(lambda: ended("Fenced") == fenced + 1)
        assert acting.runner.held == [(scenario_id, 7)]
        async with predictions.connection() as connection:
            assert await connection.fetchval(
                "SELECT count(*) FROM predictions WHERE scenario_id = $1 AND frame = 0", scenario_id
            )


async def test_a_forged_start_with_the_attempt_of_the_run_stores_nothing(
    predictions: Database, tmp_path: Path
) -> None:
    """The fence is in the database: only a higher attempt gets past it."""
    async with world(predictions, tmp_path) as acting, world(predictions, tmp_path) as other:
        scenario_id = await acting.start(NOTHING_FOUND)
        await until(lambda: any(run.next_frame for beat in acting.beats for run in beat.runs))
        fenced = ended("Fenced")
        await other.command(StartRun(INSTANCE, scenario_id, 1, encode_spec(FOUND)))
        await until(lambda: ended("Fenced") == fenced + 1)
        await until(lambda: other.runner.held == [])
        assert acting.runner.held == [(scenario_id, 1)]
        async with predictions.connection() as connection:
            assert not await connection.fetchval(
                "SELECT detections FROM checkpoints WHERE scenario_id = $1", scenario_id
            )


async def test_who_can_write_deletes_predictions_events_and_pictures(
    predictions: Database, tmp_path: Path
) -> None:
    dropped, other = [await add_pictures(predictions, 10.0, 20.0) for _ in range(2)]

    async def left() -> list[set[object]]:
        async with predictions.connection() as connection:
            rows = [await connection.fetch(f"SELECT scenario_id FROM {name}") for name in TABLES]  # noqa: S608
        return [{row["scenario_id"] for row in each} for each in rows]

    async def is_gone() -> bool:
        return await left() == [{other}] * len(TABLES)

    assert await left() == [{dropped, other}] * len(TABLES)
    async with world(predictions, tmp_path) as acting:
        await acting.bus.publish(results_commands, DropResults(dropped), str(dropped))
        await until(is_gone)
