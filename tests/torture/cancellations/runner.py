"""Calls of the functions of app.runner."""

from contextlib import suppress
from uuid import uuid4

from anyio import move_on_after
from msgspec.structs import replace

from app.domain.reason import DetectorWait
from app.messages import DateResults
from app.predictions.checkpoint import BatchWrite, NewSourceChange
from app.predictions.codec import FRAMES_PER_BLOCK
from app.runner import live_pictures
from app.runner.cleanup import abandoned_events, dates, evidence_cap, old_stream_entries, purge, retention
from app.runner.storing import backfill, claims, replay, stored_frames, waits
from app.runner.storing import checkpoints as results
from tests.support.batches import batch
from tests.torture.cancellations.registry import call
from tests.torture.cancellations.world import World


@call(claims.claim_all)
async def _claim_all(world: World) -> None:
    async with world.predictions.connection() as connection:
        await claims.claim_all(connection, [world.fence(each) for each in world.recorded])


@call(claims.claim)
async def _claim(world: World) -> None:
    async with world.predictions.connection() as connection:
        await claims.claim(connection, world.fence(world.chance.choice(world.recorded)))


@call(results.write)
async def _write(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        start = (await claims.claim(connection, fence)).next_frame
        await results.write(connection, fence, batch(start, start + 3))


@call(results.write_batches)
async def _write_batches(world: World) -> None:
    fences = [world.fence(scenario_id) for scenario_id in world.chance.sample(world.recorded, 2)]
    async with world.predictions.connection() as connection:
        starts = [(await claims.claim(connection, fence)).next_frame for fence in fences]
        writes = [
            BatchWrite(fence, batch(start, start + 3)) for fence, start in zip(fences, starts, strict=True)
        ]
        await results.write_batches(connection, writes)


@call(results.read_results)
async def _read_results(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        start = (await claims.claim(connection, fence)).next_frame
        await results.read_results(connection, [BatchWrite(fence, batch(start, start + 3))])


@call(results.note_source_state)
async def _note_source_state(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        lost = NewSourceChange(world.chance.randrange(100), 0.0, "reconnecting", "it is gone")
        await results.note_source_state(connection, fence, "reconnecting", changes=[lost])


@call(waits.note_detector_wait)
async def _note_detector_wait(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        await waits.note_detector_wait(connection, fence, DetectorWait("The server is away.", 2), 3.0)


@call(waits.note_alive)
async def _note_alive(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        await waits.note_alive(connection, fence)


@call(stored_frames.read_frames)
async def _read_frames(world: World) -> None:
    async with world.predictions.connection() as connection:
        await stored_frames.read_frames(connection, world.chance.choice(world.recorded), 0, 10)


@call(stored_frames.read_footage)
async def _read_footage(world: World) -> None:
    async with world.predictions.connection() as connection:
        await stored_frames.read_footage(connection, world.chance.choice(world.recorded), 0, 10)


@call(stored_frames.pin_footage)
async def _pin_footage(world: World) -> None:
    fence = world.fence(uuid4())
    async with world.predictions.connection() as connection:
        claimed = await claims.claim(connection, fence)
        with suppress(stored_frames.FootageError):  # nothing may be stored yet
            await stored_frames.pin_footage(connection, fence, world.chance.choice(world.recorded), claimed)


@call(replay.read_events)
async def _read_events(world: World) -> None:
    async with world.predictions.connection() as connection:
        await replay.read_events(connection, world.chance.choice(world.recorded), [1, 2])


@call(purge.leave_tombstone)
async def _leave_tombstone(world: World) -> None:
    fence = world.fence(uuid4())
    async with world.predictions.connection() as connection:
        await claims.claim(connection, fence)
        await results.write(connection, fence, batch(0, 8))
        await purge.leave_tombstone(connection, fence.scenario_id)


@call(dates.change_date)
async def _change_date(world: World) -> None:
    change = DateResults(world.chance.choice(world.recorded), world.chance.randrange(1000), 1e9)
    async with world.predictions.connection() as connection:
        await dates.change_date(connection, change)


@call(dates.redate_events)
async def _redate_events(world: World) -> None:
    async with world.predictions.connection() as connection:
        await dates.redate_events(connection, 5)


@call(purge.next_deleted_scenario)
async def _next_deleted_scenario(world: World) -> None:
    async with world.predictions.transaction() as connection:
        await purge.next_deleted_scenario(connection)


@call(purge.remove_rows)
async def _remove_rows(world: World) -> None:
    async with world.predictions.transaction() as connection:
        if scenario_id := await purge.next_deleted_scenario(connection):
            await purge.remove_rows(connection, scenario_id, 5)


@call(retention.remove_oldest_block)
async def _remove_oldest_block(world: World) -> None:
    fence = world.fence(uuid4())
    async with world.predictions.connection() as connection:
        await claims.claim(connection, fence)
        await results.write(connection, fence, replace(batch(0, FRAMES_PER_BLOCK), is_live=True))
        await retention.remove_oldest_block(connection, fence.scenario_id, 3600)


@call(retention.remove_old_events)
async def _remove_old_events(world: World) -> None:
    async with world.predictions.connection() as connection:
        await retention.remove_old_events(connection, world.chance.choice(world.recorded), 3600)


@call(live_pictures.find_watched)
async def _find_watched(world: World) -> None:
    async with world.predictions.connection() as connection:
        await live_pictures.find_watched(connection, world.recorded)


@call(live_pictures.store_live_picture)
async def _store_live_picture(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        await claims.claim(connection, fence)
        picture = live_pictures.LivePicture(fence, 7, 1.0, 64, 36, b"jpeg")
        await live_pictures.store_live_picture(connection, picture)


@call(live_pictures.forget_old_pictures)
async def _forget_old_pictures(world: World) -> None:
    async with world.predictions.connection() as connection:
        await live_pictures.forget_old_pictures(connection)


@call(live_pictures.publish_live_pictures)
async def _publish_live_pictures(world: World) -> None:
    takers = live_pictures.LiveTakers()
    takers.open(world.fence(world.chance.choice(world.recorded)))
    with move_on_after(0.05):
        await live_pictures.publish_live_pictures(world.predictions, takers)


@call(evidence_cap.count_bytes)
async def _count_bytes(world: World) -> None:
    async with world.predictions.connection() as connection:
        await evidence_cap.count_bytes(connection)


@call(evidence_cap.remove_excess)
async def _remove_excess(world: World) -> None:
    async with world.predictions.transaction() as connection:
        await evidence_cap.remove_excess(connection, 0, 100)


@call(evidence_cap.bound_evidence)
async def _bound_evidence(world: World) -> None:
    with move_on_after(0.05):
        await evidence_cap.bound_evidence(world.predictions, 0)


@call(backfill.behind)
async def _behind(world: World) -> None:
    async with world.predictions.connection() as connection:
        await backfill.behind(connection)


@call(backfill.count_stored)
async def _count_stored(world: World) -> None:
    async with world.predictions.transaction() as connection:
        await backfill.count_stored(connection, world.chance.choice(world.recorded), 100)


@call(backfill.fill_timelines)
async def _fill_timelines(world: World) -> None:
    async with world.predictions.connection() as connection:
        await connection.execute(
            "UPDATE checkpoints SET timeline_frame = 0 WHERE scenario_id = $1",
            world.chance.choice(world.recorded),
        )
    with move_on_after(0.05):
        await backfill.fill_timelines(world.predictions)


@call(abandoned_events.settle)
async def _settle(world: World) -> None:
    async with world.predictions.connection() as connection:
        await abandoned_events.settle(connection, 3600)


@call(abandoned_events.settle_run)
async def _settle_run(world: World) -> None:
    fence = world.fence(world.chance.choice(world.recorded))
    async with world.predictions.connection() as connection:
        await abandoned_events.settle_run(connection, fence, has_failed=True)


@call(abandoned_events.settle_abandoned)
async def _settle_abandoned(world: World) -> None:
    with move_on_after(0.05):
        await abandoned_events.settle_abandoned(world.predictions)


@call(retention.remove_old_source_changes)
async def _remove_old_source_changes(world: World) -> None:
    async with world.predictions.connection() as connection:
        await retention.remove_old_source_changes(connection, 3600)


@call(retention.live_scenarios)
async def _live_scenarios(world: World) -> None:
    async with world.predictions.connection() as connection:
        await retention.live_scenarios(connection)


@call(retention.remove_old)
async def _remove_old(world: World) -> None:
    with move_on_after(0.05):
        await retention.remove_old(world.predictions, 1)


@call(old_stream_entries.remove_oldest_entries)
async def _remove_oldest_entries(world: World) -> None:
    async with world.predictions.connection() as connection:
        await old_stream_entries.remove_oldest_entries(connection, 3600)


@call(old_stream_entries.remove_old_entries)
async def _remove_old_entries(world: World) -> None:
    with move_on_after(0.05):
        await old_stream_entries.remove_old_entries(world.predictions)
