"""The history of a live source: what is kept of its losses and returns, and that it is kept once."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from app.domain.media import Media
from app.domain.prediction import FrameSize
from app.domain.reason import SourceLoss
from app.domain.states import SourceState
from app.postgres import Connection, Database
from app.predictions.checkpoint import Checkpoint, Counters, Fence, NewSourceChange
from app.runner import metrics
from app.runner.cleanup import purge, retention
from app.runner.source_history import SourceHistory
from app.runner.storing import checkpoints
from app.runner.storing.checkpoints import MAX_SOURCE_CHANGES
from app.video.reading import ReadStatus
from tests.runner.runs import World, executing, spec
from tests.support.cameras import RtspCamera
from tests.support.checkpoints import SCENARIO, claim, new_fence
from tests.support.clips import marker_clip
from tests.support.waiting import until

BEGINNING = Checkpoint(0, False, None, 0, 0, Counters(), 0.0, 0.0)
MEDIA = Media(width=640, height=480, fps=25.0, codec="h264", live=True)


def status(state: SourceState, at: float, error: str | None = None, lost_at: float = 0.0) -> ReadStatus:
    loss = None if error is None else SourceLoss(error)
    return ReadStatus(state, is_live=True, loss=loss, lost_at=lost_at, at=at, media=MEDIA)


def kept(*statuses: ReadStatus, claimed: Checkpoint = BEGINNING) -> list[tuple[int, float, str, str]]:
    history = SourceHistory(claimed)
    for each in statuses:
        history.note(each)
    return [(change.number, change.at, change.state, change.reason) for change in history.pending]


def test_a_loss_each_new_error_and_the_return_are_kept() -> None:
    losses = metrics.LOSSES._value.get()
    assert kept(
        status("open", 1.0),
        status("reconnecting", 10.1, "it ended", 10.0),
        status("reconnecting", 11.0, "nothing listens there", 10.0),
        status("reconnecting", 15.0, "nothing listens there", 10.0),
        status("reconnecting", 19.0, "it refuses access (401)", 10.0),
        status("open", 28.0),
        status("reconnecting", 40.1, "it ended", 40.0),
        status("open", 41.0),
    ) == [
        (1, 10.0, "reconnecting", "it ended"),
        (2, 11.0, "reconnecting", "nothing listens there"),
        (3, 19.0, "reconnecting", "it refuses access (401)"),
        (4, 28.0, "open", "back after 18.0 s"),
        (5, 40.0, "reconnecting", "it ended"),
        (6, 41.0, "open", "back after 1.0 s"),
    ]
    assert metrics.LOSSES._value.get() - losses == 2


def test_frozen_pictures_are_kept() -> None:
    assert [change[2:] for change in kept(status("open", 1), status("frozen", 6), status("open", 9))] == [
        ("frozen", "its key frames do not change"),
        ("open", "its pictures change again"),
    ]


def test_of_one_loss_only_so_many_errors_are_kept() -> None:
    tries = [status("reconnecting", n, f"no answer after {n} ms") for n in range(100)]
    assert len(kept(*tries)) == 10


def test_a_source_that_was_lost_when_a_run_ended_is_back_in_the_next_one() -> None:
    claimed = replace(BEGINNING, source_changes=7, was_lost=True)
    assert [change[0::3] for change in kept(status("open", 1), claimed=claimed)] == [(8, "back")]


def test_other_pictures_are_kept_and_another_estimate_of_their_rate_is_not() -> None:
    opened = status("open", 1)
    other = replace(MEDIA, width=1280, height=720)
    statuses = [replace(opened, media=media) for media in (MEDIA, replace(MEDIA, fps=24.9), other)]
    assert [change[3] for change in kept(*statuses)] == ["its pictures are 1280x720 (h264) now"]
    resumed = replace(BEGINNING, sizes=(FrameSize(0, 1280, 720),))
    assert [change[3] for change in kept(opened, claimed=resumed)] == ["its pictures are 640x480 (h264) now"]
    assert kept(opened, claimed=replace(BEGINNING, sizes=(FrameSize(0, 640, 480),))) == []


async def rows(database: Database) -> list[asyncpg.Record]:
    async with database.connection() as connection:
        return await connection.fetch("SELECT * FROM source_changes ORDER BY scenario_id, number")


async def note(database: Database, fence: Fence, *numbers: int, age: float = 0.0) -> None:
    changes = [
        NewSourceChange(number, time.monotonic() - age, "reconnecting", "gone", MEDIA) for number in numbers
    ]
    async with database.connection() as connection:
        await checkpoints.note_source_state(connection, fence, "reconnecting", changes=changes)


async def test_changes_are_stored_once_with_their_time(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    for _ in range(2):  # the acknowledgement was lost
        await note(predictions, fence, 1, 2, age=60.0)
    stored = await rows(predictions)
    assert [(row["number"], row["attempt"], row["state"], row["reason"]) for row in stored] == [
        (1, 1, "reconnecting", "gone"),
        (2, 1, "reconnecting", "gone"),
    ]
    assert all(59 < time.time() - row["at"].timestamp() < 90 for row in stored)
    claimed = await claim(predictions, new_fence(2))
    assert claimed is not None
    assert claimed.source_changes == 2


async def test_for_how_long_a_source_may_be_silent_is_kept_for_the_next_run(predictions: Database) -> None:
    fence = new_fence()
    await claim(predictions, fence)
    async with predictions.connection() as connection:
        await checkpoints.note_source_state(connection, fence, "reconnecting", patience=12.5)
        await checkpoints.note_source_state(connection, fence, "open")
    claimed = await claim(predictions, new_fence(2))
    assert claimed is not None
    assert claimed.source_patience == 12.5


async def test_a_fenced_run_and_a_deleted_scenario_add_nothing(predictions: Database) -> None:
    first, second = new_fence(1), new_fence(2)
    for fence in (first, second):
        await claim(predictions, fence)
    await note(predictions, first, 1)
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
    await note(predictions, second, 1)
    assert await rows(predictions) == []


async def test_the_latest_changes_of_each_scenario_are_kept(predictions: Database) -> None:
    fence, other = new_fence(), new_fence(scenario_id=uuid4())
    for each in (fence, other):
        await claim(predictions, each)
        await note(predictions, each, 1)
    await note(predictions, fence, *range(2, MAX_SOURCE_CHANGES + 1))
    await note(predictions, fence, MAX_SOURCE_CHANGES + 1, MAX_SOURCE_CHANGES + 2)
    await note(predictions, fence)
    stored = await rows(predictions)
    numbers = [row["number"] for row in stored if row["scenario_id"] == fence.scenario_id]
    assert numbers == list(range(3, MAX_SOURCE_CHANGES + 3))
    assert len(stored) == MAX_SOURCE_CHANGES + 1


async def test_they_are_removed_with_the_scenario_and_after_the_retention_time(predictions: Database) -> None:
    fence, other = new_fence(), new_fence(scenario_id=uuid4())
    for each in (fence, other):
        await claim(predictions, each)
        await note(predictions, each, 1, age=7200.0)
        await note(predictions, each, 2)
    async with predictions.connection() as connection:
        await retention.remove_old_source_changes(connection, 3600.0)
    assert [row["number"] for row in await rows(predictions)] == [2, 2]
    async with predictions.connection() as connection:
        await purge.leave_tombstone(connection, SCENARIO)
    async with predictions.transaction() as connection:
        assert await purge.next_deleted_scenario(connection) == SCENARIO
        await purge.remove_rows(connection, SCENARIO, 10)
    assert [row["scenario_id"] for row in await rows(predictions)] == [other.scenario_id]


@pytest.fixture
def camera(tmp_path_factory: pytest.TempPathFactory) -> RtspCamera:
    folder = tmp_path_factory.mktemp("camera")
    return RtspCamera(marker_clip(folder / "loop.mp4", frames=60, size=(256, 192), gop=15, bframes=0))


async def test_an_outage_is_kept_even_if_the_database_is_away_during_it(
    world: World, camera: RtspCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_away = False
    refused: list[SourceState] = []

    async def fail_while_away(connection: Connection, fence: Fence, state: SourceState, *rest: Any) -> None:
        if is_away:
            refused.append(state)
            raise ConnectionResetError
        await store(connection, fence, state, *rest)

    store = checkpoints.note_source_state
    monkeypatch.setattr(checkpoints, "note_source_state", fail_while_away)
    run = world.run(spec(camera.url))
    with camera:
        async with executing(run):
            await until(world.stored, timeout=30)
            is_away = True
            camera.kill()
            await until(lambda: "reconnecting" in refused, timeout=30)
            await asyncio.to_thread(camera.start)
            await until(lambda: "open" in refused[refused.index("reconnecting") :], timeout=30)
            is_away = False
            await until(lambda: rows(world.database))
            run.stop("stop")
    changes = await rows(world.database)
    states = [row["state"] for row in changes]
    assert states == ["reconnecting"] * (len(states) - 1) + ["open"]
    assert changes[-1]["reason"].startswith("back after ")
    assert [row["at"] for row in changes] == sorted(row["at"] for row in changes)
    assert (await world.checkpoint())["source_loss"] is None
