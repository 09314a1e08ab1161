"""A damaged recording is stored with every frame under its ordinal, also if runs end within the damage."""

from pathlib import Path

import msgspec
import pytest

from app.domain.reason import ScenarioWarning
from app.messages import RunFinished
from app.postgres import Database
from tests.runner.runs import World, executing, spec
from tests.support.clips import marker_clip, overwrite_packets
from tests.support.waiting import until

FRAMES = 600


@pytest.fixture(params=["thread", "process"])
def world(predictions: Database, tmp_path: Path, request: pytest.FixtureRequest) -> World:
    return World(predictions, tmp_path, request.param)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi"])
async def test_runs_that_end_within_the_damage_store_each_frame_once(
    world: World, tmp_path: Path, name: str
) -> None:
    marker_clip(tmp_path / name, frames=FRAMES, size=(256, 192), gop=50)
    overwrite_packets(tmp_path / name, tmp_path / f"damaged_{name}", 100, 400)
    attempt = 0
    for least in (1, 150, 250):
        attempt += 1
        run = world.run(spec(f"damaged_{name}"), attempt=attempt)
        async with executing(run):
            await until(lambda run=run, least=least: run.next_frame >= least)  # type: ignore[misc]
            run.stop("stop")
    await world.run(spec(f"damaged_{name}"), attempt=attempt + 1).execute()
    assert isinstance(world.events[-1], RunFinished)
    assert [row["frame"] for row in await world.stored()] == list(range(FRAMES))
    checkpoint = await world.checkpoint()
    assert (checkpoint["next_frame"], checkpoint["frames_sampled"]) == (FRAMES, FRAMES)
    assert checkpoint["frames_failed"] >= 301
    warnings = msgspec.json.decode(checkpoint["warnings"], type=list[ScenarioWarning])
    assert [warning.code for warning in warnings] == ([] if name != "clip.mkv" else ["pictures_lost"])
