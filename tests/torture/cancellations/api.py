"""Calls of the functions of app.api and of a database."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from anyio import CapacityLimiter
from msgspec.structs import replace

from app.api import ApiOptions, commands, frame_range
from app.api.exports.streams import export_events, export_predictions
from app.api.exports.videos import KnownVideos, read_video
from app.api.exports.writers import JsonLinesEvents, JsonLinesPredictions
from app.api.http.problems import ProblemError
from app.api.queries import commands as command_queries
from app.api.queries import (
    event_counts,
    events,
    evidence,
    filters,
    footage,
    found_labels,
    health,
    history,
    label_counts,
    live_pictures,
    media,
    news,
    predictions,
    progress,
    reasons,
    runners,
    scenarios,
    stored_frames,
    stream_order,
    system,
    timeline,
)
from app.postgres import Database
from tests.torture.cancellations.registry import call
from tests.torture.cancellations.world import World


@call(Database.find)
async def _find(world: World) -> None:
    wanted = world.any_scenario()
    found = await world.scenarios.find("SELECT id FROM scenarios WHERE id = ANY($1)", wanted)
    assert found is not None
    assert found["id"] == wanted


@call(commands.send_command)
async def _send_command(world: World) -> None:
    with suppress(ProblemError):
        await commands.send_command(world.deps, ApiOptions(version="1"), world.any_command(), "Repeat.")


@call(command_queries.find_command_result)
async def _find_command_result(world: World) -> None:
    await command_queries.find_command_result(world.scenarios, uuid4())


@call(health.answers_within)
async def _answers_within(world: World) -> None:
    await health.answers_within(world.scenarios, 1.0)


@call(event_counts.count_events)
async def _count_events(world: World) -> None:
    await event_counts.count_events(world.predictions, world.any_scenario())


@call(events.find_event)
async def _find_event(world: World) -> None:
    await events.find_event(world.predictions, world.any_scenario(), 1)


@call(events.list_events)
async def _list_events(world: World) -> None:
    wanted, any_time = events.EventFilter(kind="zone"), (None, None)
    await events.list_events(world.predictions, [world.any_scenario()], wanted, any_time, "asc", None, 100)


@call(events.list_stored_events)
async def _list_stored_events(world: World) -> None:
    wanted = events.EventFilter()
    await events.list_stored_events(world.scenarios, world.predictions, wanted, "asc", None, 100)


@call(events.list_dated_events)
async def _list_dated_events(world: World) -> None:
    wanted, since = events.EventFilter(label="person"), (datetime.now(UTC), None)
    await events.list_dated_events(world.scenarios, world.predictions, wanted, since, "desc", None, 100)


@call(evidence.with_pictures)
async def _with_pictures(world: World) -> None:
    wanted = events.EventFilter()
    found, _ = await events.list_stored_events(world.scenarios, world.predictions, wanted, "asc", None, 100)
    dated = [replace(event, at=datetime.now(UTC)) for event in found]
    await evidence.with_pictures(world.predictions, dated, "")


@call(evidence.find_pictured_event)
async def _find_pictured_event(world: World) -> None:
    await evidence.find_pictured_event(world.predictions, world.any_scenario(), 1)


@call(evidence.read_picture)
async def _read_picture(world: World) -> None:
    await evidence.read_picture(world.predictions, world.any_scenario(), 1)


@call(history.list_history)
async def _list_history(world: World) -> None:
    position = history.HistoryPosition()
    await history.list_history(world.scenarios, world.predictions, world.any_scenario(), position, 100)


@call(history.read_changes)
async def _read_changes(world: World) -> None:
    await history.read_changes(world.scenarios, stream_order.StreamPosition(0, 0), 100)


@call(news.read_news)
async def _read_news(world: World) -> None:
    await news.read_news(world.predictions, stream_order.StreamPosition(0, 0), 100)


@call(stream_order.read_newest)
async def _read_newest(world: World) -> None:
    async with world.predictions.connection() as connection:
        await stream_order.read_newest(connection, "stream_entries")


@call(stream_order.misses_old_rows)
async def _misses_old_rows(world: World) -> None:
    newest, _ = await stream_order.read_present(world.scenarios)
    await stream_order.misses_old_rows(world.scenarios, "scenario_events", newest, timedelta(days=1))


@call(stream_order.read_present)
async def _read_present(world: World) -> None:
    await stream_order.read_present(world.predictions)


@call(label_counts.count_labels)
async def _count_labels(world: World) -> None:
    await label_counts.count_labels(world.predictions, world.any_scenario())


@call(live_pictures.mark_watched)
async def _mark_watched(world: World) -> None:
    await live_pictures.mark_watched(world.predictions, world.any_scenario())


@call(live_pictures.find_live_picture)
async def _find_live_picture(world: World) -> None:
    await live_pictures.find_live_picture(world.predictions, world.any_scenario(), (1, 1))


@call(predictions.list_predictions)
async def _list_predictions(world: World) -> None:
    wanted = predictions.PredictionFilter(label="aruco:0")
    await predictions.list_predictions(world.predictions, world.chance.choice(world.recorded), wanted, 100)


@call(footage.find_footage)
async def _find_footage(world: World) -> None:
    await footage.find_footage(world.predictions, world.any_scenario())


@call(media.find_uses)
async def _find_uses(world: World) -> None:
    await media.find_uses(world.scenarios, ["clip.mp4", "./a:b.mp4"])


@call(stored_frames.find_frame_before)
async def _find_frame_before(world: World) -> None:
    await stored_frames.find_frame_before(world.predictions, world.chance.choice(world.recorded), time=1.0)


@call(stored_frames.find_pins)
async def _find_pins(world: World) -> None:
    await stored_frames.find_pins(world.predictions, world.chance.choice(world.recorded))


@call(stored_frames.find_frame_after)
async def _find_frame_after(world: World) -> None:
    await stored_frames.find_frame_after(world.predictions, world.chance.choice(world.recorded), 1)


@call(timeline.read_timeline)
async def _read_timeline(world: World) -> None:
    wish = timeline.TimelineWish(bucket=world.chance.choice([1, 15]))
    await timeline.read_timeline(world.predictions, world.chance.choice(world.recorded), wish)


@call(progress.find_stored_progress)
async def _find_stored_progress(world: World) -> None:
    await progress.find_stored_progress(world.predictions, world.any_scenario())


@call(progress.list_stored_progress)
async def _list_stored_progress(world: World) -> None:
    await progress.list_stored_progress(world.predictions, world.recorded)


@call(system.describe_database)
async def _describe_database(world: World) -> None:
    await system.describe_database("scenarios", world.scenarios)


@call(predictions.read_rows)
async def _read_rows(world: World) -> None:
    await predictions.read_rows(world.predictions, world.any_scenario(), predictions.PredictionFilter(), 10)


@call(predictions.find_ends)
async def _find_ends(world: World) -> None:
    wanted = predictions.PredictionFilter(label="aruco:0")
    await predictions.find_ends(world.predictions, world.known, wanted)


@call(predictions.find_ends_with_events)
async def _find_ends_with_events(world: World) -> None:
    await predictions.find_ends_with_events(world.predictions, world.known)


@call(predictions.find_end)
async def _find_end(world: World) -> None:
    await predictions.find_end(world.predictions, world.any_scenario())


@call(scenarios.list_of_batch)
async def _list_of_batch(world: World) -> None:
    await scenarios.list_of_batch(world.scenarios, world.any_scenario(), None, 10)


@call(export_predictions)
async def _export_predictions(world: World) -> None:
    videos, limiter = await _videos(world), CapacityLimiter(1)
    wanted, writer = predictions.PredictionFilter(), JsonLinesPredictions()
    async for _ in export_predictions(world.predictions, videos.read, wanted, writer, limiter):
        pass


@call(export_events)
async def _export_events(world: World) -> None:
    videos, limiter = await _videos(world), CapacityLimiter(1)
    wanted, writer = events.EventFilter(), JsonLinesEvents()
    async for _ in export_events(world.predictions, videos.read, wanted, (None, None), writer, limiter):
        pass


async def _videos(world: World) -> KnownVideos:
    row = await scenarios.find_row(world.scenarios, world.any_scenario())
    return KnownVideos([] if row is None else [await read_video(world.deps, row)])


@call(read_video)
async def _read_video(world: World) -> None:
    row = await scenarios.find_row(world.scenarios, world.any_scenario())
    if row is not None:
        await read_video(world.deps, row)


@call(runners.list_runners)
async def _list_runners(world: World) -> None:
    await runners.list_runners(world.scenarios, 10)


@call(scenarios.find_scenario)
async def _find_scenario(world: World) -> None:
    await scenarios.find_scenario(world.scenarios, world.predictions, world.any_scenario(), 10)


@call(scenarios.find_row)
async def _find_row(world: World) -> None:
    await scenarios.find_row(world.scenarios, world.any_scenario())


@call(frame_range.locate_frames)
async def _locate_frames(world: World) -> None:
    row = await scenarios.find_row(world.scenarios, world.any_scenario())
    assert row is not None
    await frame_range.locate_frames(world.deps, row)


@call(scenarios.to_scenario)
async def _to_scenario(world: World) -> None:
    row = await scenarios.find_row(world.scenarios, world.any_scenario())
    assert row is not None
    await scenarios.to_scenario(row, world.scenarios, world.predictions, 10)


@call(reasons.list_waiting_reasons)
async def _list_waiting_reasons(world: World) -> None:
    rows = [await scenarios.find_row(world.scenarios, each) for each in world.some_scenarios()]
    await reasons.list_waiting_reasons(world.scenarios, [row for row in rows if row is not None], 10)


@call(scenarios.list_succession)
async def _list_succession(world: World) -> None:
    await scenarios.list_succession(world.scenarios, world.any_scenario())


@call(scenarios.is_completed)
async def _is_completed(world: World) -> None:
    await scenarios.is_completed(world.scenarios, world.any_scenario())


@call(scenarios.exists)
async def _exists(world: World) -> None:
    await scenarios.exists(world.scenarios, world.any_scenario())


@call(found_labels.find_ids_with)
async def _find_ids_with(world: World) -> None:
    wanted = filters.ScenarioFilter(found="aruco:0")
    await found_labels.find_ids_with(world.scenarios, world.predictions, "aruco:0", wanted, None, 100)


@call(scenarios.list_scenarios)
async def _list_scenarios(world: World) -> None:
    wanted = filters.ScenarioFilter(tag="gate")
    await scenarios.list_scenarios(world.scenarios, world.predictions, wanted, None, 100, 10)


@call(reasons.list_reasons)
async def _list_reasons(world: World) -> None:
    rows = await scenarios.find_unended(world.scenarios, 100)
    stored = await progress.list_stored_progress(world.predictions, [row["id"] for row in rows])
    await reasons.list_reasons(world.scenarios, rows, stored, 10)


@call(scenarios.find_unended)
async def _find_unended(world: World) -> None:
    await scenarios.find_unended(world.scenarios, 100)


@call(scenarios.count_by_state)
async def _count_by_state(world: World) -> None:
    await scenarios.count_by_state(world.scenarios)


@call(filters.count_scenarios)
async def _count_scenarios(world: World) -> None:
    assert (await filters.count_scenarios(world.scenarios)).total > 0
