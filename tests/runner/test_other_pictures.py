"""A camera that begins to send pictures of another size: `media` follows, and the history tells it."""

import time
from pathlib import Path

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from app.domain.media import Media
from app.domain.prediction import FrameSize
from app.messages import RunStarted
from tests.runner.runs import World, executing, spec
from tests.support import clips
from tests.support.rtsp_server import RtspServer
from tests.support.waiting import until

SMALL, LARGE = (256, 192), (320, 240)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "a.mp4"
    wide = {"x264-params": "sar=2/1"}
    return clips.marker_clip(path, frames=30, size=SMALL, gop=15, bframes=0, options=wide)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "b.mp4"
    return clips.marker_clip(path, frames=30, size=LARGE, gop=15, bframes=0)


def told(world: World) -> list[tuple[int, int]]:
    """The sizes in the media that were told, one after the other."""
    return [(each.media.width, each.media.height) for each in world.events if isinstance(each, RunStarted)]


async def stored_sizes(world: World) -> list[tuple[int, int]]:
    sizes = msgspec.json.decode((await world.checkpoint())["sizes"], type=list[FrameSize])
    return [(size.width, size.height) for size in sizes]


async def changes(world: World) -> list[asyncpg.Record]:
    async with world.database.connection() as connection:
        return await connection.fetch(
            "SELECT state, reason, media FROM source_changes WHERE scenario_id = $1 ORDER BY number",
            world.scenario_id,
        )


def size_of(media: str) -> tuple[int, int]:
    found = msgspec.json.decode(media, type=Media)
    assert found.tracks is not None
    assert (found.tracks[0].width, found.tracks[0].height) == (found.width, found.height)
    assert found.declared_aspect == pytest.approx(found.width / found.height, abs=1e-5)
    return found.width, found.height


@pytest.mark.parametrize("hangs_up", [True, False], ids=["another camera", "in mid-connection"])
async def test_other_pictures_are_told(world: World, small: Path, large: Path, hangs_up: bool) -> None:
    async def sizes_are(*expected: tuple[int, int]) -> bool:
        return await stored_sizes(world) == list(expected)

    with RtspServer(small) as server:
        run = world.run(replace(spec(server.url()), aspect="16:9"))
        async with executing(run):
            await until(lambda: told(world) == [SMALL], timeout=30)
            await until(lambda: sizes_are(SMALL), timeout=30)
            (started,) = [event for event in world.events if isinstance(event, RunStarted)]
            assert started.media.declared_aspect == pytest.approx(2 * 256 / 192, abs=1e-5)
            server.load(large)
            if hangs_up:
                server.hang_up()
            await until(lambda: told(world) == [SMALL, LARGE], timeout=30)
            await until(lambda: sizes_are(SMALL, LARGE), timeout=30)
            run.stop("stop")
    found = await changes(world)
    assert [row["state"] for row in found] == (["reconnecting", "open"] if hangs_up else ["open"])
    assert found[-1]["reason"].endswith("its pictures are 320x240 (h264) now")
    assert size_of(found[-1]["media"]) == LARGE
    media = [each.media for each in world.events if isinstance(each, RunStarted)]
    assert [each.display_aspect for each in media] == [1.777778, 1.777778]


async def test_another_camera_is_told_after_a_restart_too(world: World, small: Path, large: Path) -> None:
    for attempt, clip in enumerate((small, small, large), 1):
        with RtspServer(clip) as server:
            run = world.run(spec(server.url()), attempt=attempt)
            async with executing(run):
                before = len(await world.stored())

                async def goes_on() -> bool:
                    return len(await world.stored()) > before + 3  # noqa: B023 - awaited in the same turn

                await until(goes_on, timeout=30)
                run.stop("stop")
    assert told(world) == [SMALL, SMALL, LARGE]
    assert [row["reason"] for row in await changes(world)] == ["its pictures are 320x240 (h264) now"]


async def test_a_size_that_changes_all_the_time_is_told_once_a_second(
    world: World, small: Path, large: Path
) -> None:
    with RtspServer(small) as server:
        (key_frame, *_) = server.frames
        server.load(large)
        server.frames[:] = [key_frame, server.frames[0]]
        run = world.run(spec(server.url()))
        async with executing(run):
            began = time.monotonic()
            await until(lambda: len(told(world)) >= 3, timeout=30)
            seconds = time.monotonic() - began
            run.stop("stop")
    assert seconds > 2
    assert len(await stored_sizes(world)) > 10
    assert len(await changes(world)) <= 4
