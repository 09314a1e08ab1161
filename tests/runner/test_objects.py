"""A run with the model that comes with the service stores the same, whether it was interrupted or not."""

from pathlib import Path
from uuid import UUID

import numpy as np

from app.domain.detector_config import Objects
from app.domain.prediction import Prediction
from app.messages import RunFinished, RunStopped
from app.postgres import Database
from app.predictions.codec import decode
from tests.runner.runs import World, executing, spec
from tests.support.clips import encode
from tests.support.pictures import road
from tests.support.waiting import until

FRAMES = 30
SPEC = spec("road.mp4", Objects(tiles=2))


async def predictions_of(database: Database, scenario_id: UUID) -> list[Prediction]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT * FROM predictions WHERE scenario_id = $1 ORDER BY frame", scenario_id
        )
    return [decode(row) for row in rows]


async def test_an_interrupted_run_stores_the_same_as_another(predictions: Database, tmp_path: Path) -> None:
    signs = (road(640, 360, (4 * frame, 60, 150)).mean(axis=2).astype(np.uint8) for frame in range(FRAMES))
    encode(tmp_path / "road.mp4", signs)
    whole, interrupted = World(predictions, tmp_path), World(predictions, tmp_path)
    await whole.run(SPEC).execute()
    assert isinstance(whole.events[-1], RunFinished)

    run = interrupted.run(SPEC)
    async with executing(run):
        await until(lambda: run.next_frame)
        run.stop("stop")
    assert isinstance(interrupted.events[-1], RunStopped)
    assert 0 < len(await interrupted.stored()) < FRAMES
    await interrupted.run(SPEC, attempt=2).execute()

    expected = await predictions_of(predictions, whole.scenario_id)
    assert [each.frame for each in expected] == list(range(FRAMES))
    assert {(found.label, found.class_id) for each in expected for found in each.detections} == {
        ("stop sign", 11)
    }
    assert await predictions_of(predictions, interrupted.scenario_id) == expected
