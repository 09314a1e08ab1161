"""What reading finds that a user should know is stored with the batches, once."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec import json
from msgspec.structs import replace

from app.domain.detector_config import Marker
from app.domain.reason import ScenarioWarning
from app.postgres import Database
from app.predictions.checkpoint import BatchWrite, Checkpoint, Counters
from app.runner.storing import checkpoints
from app.runner.storing.batches import BatchBuilder
from app.video.reading import Watermark
from tests.runner.runs import World, spec
from tests.support.batches import batch
from tests.support.checkpoints import claim, new_fence
from tests.support.clips import encode, marker_picture

CHANGED = ScenarioWarning("file_changed", "The file was changed while it was read.", 7)
LOST = ScenarioWarning("pictures_lost", "The container lost 3 pictures.", 9)
BEGINNING = Checkpoint(0, False, None, 0, 0, Counters(), 0.0, 0.0)


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
async def test_a_batch_stores_its_warnings_and_a_batch_without_keeps_them(
    predictions: Database, others: int
) -> None:
    fences = [new_fence(1, uuid4()) for _ in range(1 + others)]
    for fence in fences:
        await claim(predictions, fence)
    first = replace(batch(0, 3), warnings=(CHANGED, LOST))
    for each in (first, batch(3, 6)):
        async with predictions.connection() as connection:
            await checkpoints.write_batches(connection, [BatchWrite(fence, each) for fence in fences])
    for fence in fences:
        claimed = await claim(predictions, new_fence(2, fence.scenario_id))
        assert claimed is not None
        assert (claimed.next_frame, claimed.warnings) == (6, (CHANGED, LOST))


def test_a_warning_is_told_of_once() -> None:
    builder = BatchBuilder(replace(BEGINNING, warnings=(CHANGED,)), None)
    builder.warn([replace(CHANGED, frame=50)])
    quiet = builder.build([Watermark(3, 0.1)], source_state="open")
    assert quiet is not None
    assert quiet.warnings is None
    builder.warn([CHANGED, LOST])
    told = builder.build([], source_state="closed")
    assert told is not None
    assert (told.start, told.end, told.warnings) == (3, 3, (CHANGED, LOST))
    builder.warn([LOST])
    assert builder.build([], source_state="closed") is None


@pytest.mark.parametrize("dictionary", ["4x4_50", "5x5_1000"])
async def test_what_a_detector_warns_of_is_stored(
    predictions: Database, tmp_path: Path, dictionary: Any
) -> None:
    encode(tmp_path / "clip.mp4", (marker_picture(7, (640, 360)) for _ in range(10)))
    world = World(predictions, tmp_path)
    await world.run(spec("clip.mp4", Marker(dictionary=dictionary))).execute()
    stored = json.decode((await world.checkpoint())["warnings"], type=list[ScenarioWarning])
    told = [warning.text for warning in stored if warning.code == "other_dictionary"]
    assert ["markers of 5x5_1000" in text for text in told] == ([] if dictionary == "5x5_1000" else [True])
