"""Every change of the pictures' size is stored with the batch, and told with each prediction."""

from pathlib import Path
from uuid import uuid4

import pytest
from msgspec.structs import replace

from app.api.queries.predictions import PredictionFilter, list_predictions
from app.domain.detector_config import Mock
from app.domain.prediction import FrameSize, Prediction
from app.domain.sampling import EveryFrame
from app.messages import RunFinished, RunStarted
from app.postgres import Database
from app.predictions.checkpoint import BatchWrite, Checkpoint, Counters
from app.runner.frames.tasks import FrameTask
from app.runner.storing import checkpoints
from app.runner.storing.batches import BatchBuilder
from tests.runner.runs import World, spec
from tests.support.batches import batch
from tests.support.checkpoints import claim, new_fence
from tests.support.clips import encode, marker_picture
from tests.video.test_tracks import FRONT, REAR, write

BEGINNING = Checkpoint(0, False, None, 0, 0, Counters(), 0.0, 0.0)
LARGE, SMALL = (320, 240), (160, 128)


def task(frame: int, size: tuple[int, int] | None) -> FrameTask:
    return FrameTask(frame, frame / 10, frame, None, None if size else "lost", size, () if size else None)


@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
async def test_sizes_are_stored_with_their_batch_and_read_again(predictions: Database, others: int) -> None:
    fences = [new_fence(1, uuid4()) for _ in range(1 + others)]
    for fence in fences:
        await claim(predictions, fence)
    first = replace(batch(0, 3), new_sizes=(FrameSize(0, *LARGE), FrameSize(2, *SMALL)))
    for each in (first, batch(3, 6), replace(batch(6, 9), new_sizes=(FrameSize(7, *LARGE),))):
        async with predictions.connection() as connection:
            await checkpoints.write_batches(connection, [BatchWrite(fence, each) for fence in fences])
    for fence in fences:
        claimed = await claim(predictions, new_fence(2, fence.scenario_id))
        assert claimed is not None
        assert claimed.sizes == (FrameSize(0, *LARGE), FrameSize(2, *SMALL), FrameSize(7, *LARGE))


def test_a_size_is_told_when_it_changes_also_after_a_restart() -> None:
    builder = BatchBuilder(replace(BEGINNING, next_frame=2, sizes=(FrameSize(0, *LARGE),)), None)
    tasks = [task(1, SMALL), task(2, LARGE), task(3, None), task(4, SMALL), task(5, SMALL)]
    built = builder.build(tasks, source_state="open")
    assert built is not None
    assert built.new_sizes == (FrameSize(4, *SMALL),)
    again = builder.build([task(6, SMALL), task(7, LARGE)], source_state="open")
    assert again is not None
    assert again.new_sizes == (FrameSize(7, *LARGE),)


def test_after_too_many_changes_sizes_are_unknown_and_a_warning_says_so() -> None:
    builder = BatchBuilder(BEGINNING, None)
    built = builder.build([task(n, (100 + n, 100)) for n in range(1100)], source_state="open")
    assert built is not None
    assert len(built.new_sizes) == 1001
    assert built.new_sizes[-1] == FrameSize(1000, 0, 0)
    assert [(warning.code, warning.frame) for warning in built.warnings or ()] == [("sizes_unknown", 1000)]


async def read(world: World, database: Database) -> list[Prediction]:
    scenario = (await world.checkpoint())["scenario_id"]
    items, _ = await list_predictions(database, scenario, PredictionFilter(), 1000)
    return items


async def test_each_prediction_has_the_size_that_its_boxes_are_in(
    predictions: Database, tmp_path: Path
) -> None:
    for name, size in (("a.ts", LARGE), ("b.ts", SMALL)):
        encode(
            tmp_path / name,
            (marker_picture(n, (320, 240))[: size[1], : size[0]] for n in range(20)),
            bframes=0,
        )
    both = (tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(both)
    world = World(predictions, tmp_path)
    await world.run(spec("both.ts", Mock(seed=1), sampling=EveryFrame())).execute()
    stored = await read(world, predictions)
    sizes = [(each.width, each.height) for each in stored if each.error is None]
    assert sizes == [LARGE] * sizes.count(LARGE) + [SMALL] * sizes.count(SMALL)
    assert sizes.count(LARGE) >= 19
    assert sizes.count(SMALL) >= 19


async def test_a_scenario_can_say_how_wide_its_picture_is_shown(
    predictions: Database, tmp_path: Path
) -> None:
    encode(tmp_path / "a.ts", [marker_picture(0)], options={"x264-params": "sar=2/1"})
    world = World(predictions, tmp_path)
    await world.run(replace(spec("a.ts"), aspect="4:3")).execute()
    # It is told once, at the start or with the end, whichever may be sent first.
    told = [each.media for each in world.events if isinstance(each, RunStarted | RunFinished) and each.media]
    assert [(media.width, media.height) for media in told] == [(320, 180)]
    assert [(media.display_aspect, media.declared_aspect) for media in told] == [(1.333333, 3.555556)]


async def test_a_scenario_can_choose_its_track(predictions: Database, tmp_path: Path) -> None:
    write(tmp_path / "two.mkv", [FRONT, REAR])
    world = World(predictions, tmp_path)
    await world.run(replace(spec("two.mkv"), track=1)).execute()
    scenario = (await world.checkpoint())["scenario_id"]
    items, _ = await list_predictions(predictions, scenario, PredictionFilter(), 1000)
    assert {(each.width, each.height) for each in items} == {REAR[2]}
