"""Live pictures: taken only of what is watched, and stored only under the fence."""

from uuid import uuid4

import cv2
import numpy as np
from anyio import create_task_group
from asyncpg import Record
from msgspec.structs import replace

from app.api.queries.live_pictures import mark_watched
from app.postgres import Database
from app.predictions.checkpoint import Fence
from app.runner import live_pictures
from app.runner.live_pictures import LivePicture, LiveTaker, forget_old_pictures, store_live_picture
from tests.runner.runs import LIVE, World, executing, run_claimed, spec
from tests.support.pictures import ArrayPicture, plain
from tests.support.rows import add_checkpoint
from tests.support.waiting import until

PICTURE = ArrayPicture(plain(1280, 720))


async def rows(database: Database) -> list[Record]:
    async with database.connection() as connection:
        return await connection.fetch("SELECT * FROM live_pictures")


async def test_pictures_are_stored_while_somebody_looks(threaded: World) -> None:
    database = threaded.database
    run = threaded.run(spec(LIVE))
    seen: set[int] = set()

    async def newer() -> bool:
        seen.update(row["frame"] for row in await rows(database))
        return len(seen) >= 3

    async with create_task_group() as group:
        group.start_soon(live_pictures.publish_live_pictures, database, run._context.live)
        async with executing(run) as over:
            await run_claimed(threaded)
            await until(lambda: run.next_frame > 50)
            assert not await rows(database)
            await mark_watched(database, threaded.scenario_id)
            await until(newer)
            [row] = await rows(database)
            image = cv2.imdecode(np.frombuffer(row["picture"], np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            assert (image.shape, row["width"], row["height"]) == ((180, 320, 3), 320, 180)
            run.stop("stop")
            await over.wait()
        group.cancel_scope.cancel()
    stored = {each["frame"]: each["time"] for each in await threaded.stored()}
    assert stored[row["frame"]] == row["time"]
    assert not run._context.live.current()


async def test_a_taker_takes_the_newest_frame_twice_a_second() -> None:
    taker = LiveTaker(Fence(uuid4(), 1, uuid4()))
    taker.offer(1, 1.0, PICTURE)
    assert taker.take() is None
    taker.is_watched = True
    taker.offer(5, 1.0, PICTURE)
    for frame in (6, 4):  # too early, and older
        taker.offer(frame, 1.1, PICTURE)
    taken = taker.take()
    assert taken is not None
    assert (taken.frame, taken.width, taken.height) == (5, 1280, 720)
    assert taker.take() is None
    taker._due = 0.0
    taker.offer(4, 1.2, PICTURE)
    assert taker.take() is None
    taker.close()
    taker.offer(9, 1.3, PICTURE)
    assert taker.take() is None


async def test_only_the_run_with_the_fence_stores_pictures(predictions: Database) -> None:
    fence = Fence(uuid4(), 2, uuid4())
    await add_checkpoint(predictions, fence.scenario_id, attempt=2, run_token=fence.run_token)
    picture = LivePicture(fence, 7, 1.0, 64, 36, b"jpeg")
    async with predictions.connection() as connection:
        for other in (replace(fence, attempt=1), replace(fence, run_token=uuid4())):
            await store_live_picture(connection, replace(picture, fence=other))
        assert not await rows(predictions)
        await store_live_picture(connection, picture)
        assert [row["frame"] for row in await rows(predictions)] == [7]
        await connection.execute("UPDATE checkpoints SET dropped = true")
        await store_live_picture(connection, replace(picture, frame=8))
        assert [row["frame"] for row in await rows(predictions)] == [7]


async def test_old_pictures_are_removed(predictions: Database) -> None:
    fence = Fence(uuid4(), 2, uuid4())
    await add_checkpoint(predictions, fence.scenario_id, attempt=2, run_token=fence.run_token)
    async with predictions.connection() as connection:
        await store_live_picture(connection, LivePicture(fence, 7, 1.0, 64, 36, b"jpeg"))
        await forget_old_pictures(connection)
        assert await rows(predictions)
        await connection.execute("UPDATE live_pictures SET at = at - interval '2 minutes'")
        await forget_old_pictures(connection)
        assert not await rows(predictions)
