"""Frames too far apart to follow what moves are told, if the specification does not tell it already."""

from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from app.domain.analysis import Tracking
from app.domain.sampling import EveryFrame, FixedRate
from app.postgres import Database
from app.runner.analysing.frame_gaps import FrameGaps
from tests.runner.runs import World, spec
from tests.support.clips import encode, marker_picture


@pytest.mark.parametrize(
    ("times", "is_rare"),
    [
        ([10.0 * n for n in range(10)], False),
        ([10.0 * n for n in range(11)], True),
        ([2.0 * n for n in range(11)], True),
        ([1.9 * n for n in range(99)], False),
        ([n + (5.0 if n % 10 == 9 else 0.0) for n in range(99)], False),  # a camera that is lost now and then
        ([10.0 * n + k for n in range(20) for k in (0, 1)], False),
    ],
)
def test_ten_long_gaps_in_a_row_are_noticed(times: list[float], is_rare: bool) -> None:
    gaps, silent = FrameGaps(Tracking(2.0)), FrameGaps(None)
    for time in times:
        gaps.note(time)
        silent.note(time)
    assert silent.warning is None
    assert (gaps.warning is not None) == is_rare


async def test_a_run_tells_it_once(predictions: Database, tmp_path: Path) -> None:
    encode(tmp_path / "lapse.mkv", [marker_picture(n) for n in range(14)], times=range(0, 70, 5))
    world = World(predictions, tmp_path)
    every = replace(spec("lapse.mkv"), sampling=EveryFrame(), tracking=Tracking())
    await world.run(every).execute()
    (found,) = msgspec.json.decode((await world.checkpoint())["warnings"])
    assert found["code"] == "sampled_rarely"
    assert found["text"].startswith("A frame every 5 s is rare")
    other = World(predictions, tmp_path)
    await other.run(replace(every, sampling=FixedRate(0.2))).execute()  # which the specification tells
    assert msgspec.json.decode((await other.checkpoint())["warnings"]) == []
