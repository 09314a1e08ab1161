"""Counts that are kept for long videos: they always equal what is counted again."""

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from random import Random
from typing import Any

import pytest
from anyio import create_task_group
from msgspec.structs import astuple, replace

from app.api.queries.event_counts import count_events
from app.api.queries.label_counts import count_labels
from app.api.queries.timeline import BucketCount, TimelineWish, read_timeline
from app.domain.event import Carried, Event
from app.domain.prediction import Detection, Prediction
from app.postgres import Database
from app.predictions.checkpoint import AnalysisUpdate, Batch, Counters, Fence
from app.predictions.codec import decode_labels
from app.predictions.timeline import BUCKET_SECONDS, count_timeline
from app.runner.cleanup import retention
from app.runner.storing import checkpoints
from tests.support.batches import as_batch
from tests.support.checkpoints import SCENARIO, claim, new_fence, write
from tests.support.databases import blocks_another
from tests.support.timelines import fill_timeline
from tests.support.waiting import until

LABELS = ("bicycle", "car", "person")
SORTS = (("object", None), ("presence", None), ("zone", "yard"), ("alert", "visitor"))
BOX = (1.0, 2.0, 3.0, 4.0)


class Video:
    """Makes the batches of a run, with frames at uneven times, and events that may change their labels."""

    def __init__(self, chance: Random, began: float, *, is_live: bool) -> None:
        self.chance = chance
        self.fence: Fence = new_fence()
        self._time = began
        self._frame = 0
        self._events = 0
        self._open: dict[int, Event] = {}
        self._is_live = is_live

    def next_batch(self) -> Batch:
        """Return the next frames and what happens in them."""
        start, found = self._frame, []
        for _ in range(self.chance.randint(1, 40)):
            self._time += self.chance.choice((0.5, 4.0, 30.0, 30.0, 400.0))
            labels = self.chance.choices(LABELS, k=self.chance.randint(0, 3))
            detections = tuple(Detection(label, self.chance.random(), BOX) for label in labels)
            error = "it is damaged" if self.chance.random() < 0.02 else None
            found.append(Prediction(self._frame, self._time, () if error else detections, error))
            self._frame += self.chance.choice((1, 15, 100))
        batch = as_batch(start, self._frame, found)
        events = [*self._changed(), *(self._new() for _ in range(self.chance.randint(0, 40)))]
        self._open = {**self._open, **{each.event_id: each for each in events if each.state == "open"}}
        return replace(
            batch,
            counters=Counters(sampled=self._frame, detections=0),
            position_seconds=self._time,
            is_live=self._is_live,
            analysis=AnalysisUpdate(Carried(1, self._events + 1, {}), tuple(events), (), None),
        )

    def _changed(self) -> list[Event]:
        numbers = self.chance.sample(sorted(self._open), min(len(self._open), self.chance.randint(0, 9)))
        return [
            replace(
                self._open.pop(number),
                label=self.chance.choice(LABELS),
                state=self.chance.choice(("open", "ended")),
            )
            for number in sorted(numbers)
        ]

    def _new(self) -> Event:
        self._events += 1
        kind, name = self.chance.choice(SORTS)
        label, state = self.chance.choice(LABELS), self.chance.choice(("open", "ended"))
        times = (0, self._time, 9, self._time, 5, self._time)
        return Event(self._events, kind, state, label, None, name, None, *times, BOX, 0.5)  # type: ignore[arg-type]


async def store(database: Database, video: Video, batch: Batch) -> None:
    """Store the batch. Sometimes the run is killed before its transaction ends, and a new one stores it."""
    how = video.chance.choice(("stored", "stored", "killed", "repeated"))
    if how == "killed":
        async with database.connection() as connection:
            transaction = connection.transaction()
            await transaction.start()
            assert await checkpoints.write(connection, video.fence, batch)
            await transaction.rollback()
        video.fence = new_fence(video.fence.attempt + 1)
        await claim(database, video.fence)
    assert await write(database, video.fence, batch)
    if how == "repeated":
        assert not await write(database, video.fence, batch)


async def check(database: Database, chance: Random) -> None:
    """Compare each answer with a count of the rows that are there."""
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT * FROM predictions ORDER BY frame")
        buckets = await connection.fetch("SELECT * FROM timeline_buckets")
        events = await connection.fetch("SELECT kind, name, label FROM events")
    counted = await count_events(database, SCENARIO)
    assert {(each.kind, each.name or "", each.label): each.events for each in counted.items} == Counter(
        tuple(row) for row in events
    )
    detections, objects = Counter[str](), Counter(row["label"] for row in events if row["kind"] == "object")
    for row in buckets:
        detections[row["label"]] += row["detections"]
    del detections[""]
    labels = await count_labels(database, SCENARIO)
    assert {each.label: each.detections for each in labels} == detections
    assert {each.label: each.objects for each in labels} == {label: objects[label] for label in detections}
    await check_timeline(database, rows, buckets, None, None, chance.choice((300, 600, 900)))
    first, last = rows[0]["time"], rows[-1]["time"]
    await check_timeline(database, rows, buckets, chance.uniform(first, last), None, 300)
    await check_timeline(database, rows, buckets, first, chance.uniform(first, last) + 1, 600)


async def check_timeline(
    database: Database,
    rows: list[Any],
    buckets: list[Any],
    begin: float | None,
    end: float | None,
    width: int,
) -> None:
    """Compare a timeline with the buckets of 15 seconds that are in the range."""
    found = await read_timeline(
        database, SCENARIO, TimelineWish(bucket=float(width), from_time=begin, to_time=end)
    )
    times = [row["time"] for row in rows if begin is None or row["time"] >= begin]
    times = [each for each in times if end is None or each < end]
    expected = Counter[tuple[str, float, str]]()
    for row in buckets:
        if times and times[0] // BUCKET_SECONDS <= row["bucket"] <= times[-1] // BUCKET_SECONDS:
            start = float(row["bucket"] * BUCKET_SECONDS // width * width)
            for what in ("frames", "detections", "failed"):
                expected[row["label"], start, what] += row[what]
    answer = Counter[tuple[str, float, str]]()
    for each in found.all:
        answer["", each.time, "failed"] = each.failed
    series: list[tuple[str, Sequence[BucketCount]]] = [("", found.all)]
    series += [(each.label, each.buckets) for each in found.labels]
    for label, counts in series:
        for count in counts:
            answer[label, count.time, "frames"] = count.frames
            answer[label, count.time, "detections"] = count.detections
    assert answer == expected


@pytest.mark.parametrize("seed", range(6))
async def test_counts_of_a_recording_equal_a_recount_after_kills(predictions: Database, seed: int) -> None:
    video = Video(Random(seed), 0.0, is_live=False)
    await claim(predictions, video.fence)
    forgotten = video.chance.randrange(40)
    for number in range(40):
        await store(predictions, video, video.next_batch())
        if number == forgotten:  # as a version stores that counts nothing
            async with predictions.connection() as connection:
                await connection.execute("DELETE FROM timeline_buckets")
                await connection.execute("DELETE FROM timeline_sums")
                await connection.execute("UPDATE checkpoints SET timeline_frame = 0")
        elif number == forgotten + 2:
            await fill_timeline(predictions, SCENARIO)
        if number % 8 == 7 and not forgotten <= number < forgotten + 2:
            await check(predictions, video.chance)
    await fill_timeline(predictions, SCENARIO)
    await check(predictions, video.chance)
    async with predictions.connection() as connection:
        rows = await connection.fetch("SELECT * FROM predictions ORDER BY frame")
        sums = await connection.fetch(
            "SELECT label, part, frames, detections, max_confidence, failed FROM timeline_sums"
        )
        assert await connection.fetchval("SELECT events_counted_before FROM checkpoints") > 256
    of_frames = count_timeline([decode_labels(row) for row in rows], 300)
    ended = max(of_frames.buckets)
    expected = {each for each in zip(*astuple(of_frames), strict=True) if each[1] < ended}
    assert {tuple(row) for row in sums} <= expected
    assert len(sums) > len(expected) / 2  # the others wait until a part begins with a frame


@pytest.mark.parametrize("seed", range(3))
async def test_counts_of_a_camera_equal_a_recount_while_old_frames_are_removed(
    predictions: Database, seed: int
) -> None:
    began = time.time() - 10_000_000
    video = Video(Random(seed), began, is_live=True)
    await claim(predictions, video.fence)
    for _ in range(8):
        for _ in range(8):
            batch = video.next_batch()
            await store(predictions, video, batch)
        async with predictions.connection() as connection:
            age = time.time() - (began + batch.position_seconds) / 2
            while await retention.remove_oldest_block(connection, SCENARIO, age):
                pass
            await retention.remove_old_events(connection, SCENARIO, age)
        await check(predictions, video.chance)


async def test_an_event_is_not_counted_while_another_transaction_removes_it(predictions: Database) -> None:
    """Events are counted in hundreds: those that a removal finds uncounted must not be counted after it."""
    video = Video(Random(1), time.time() - 10_000_000, is_live=True)
    await claim(predictions, video.fence)
    async with predictions.connection() as connection:
        while await connection.fetchval("SELECT count(*) FROM events") < 200:
            assert await write(predictions, video.fence, video.next_batch())
        transaction = connection.transaction()
        await transaction.start()
        assert await retention.remove_old_events(connection, SCENARIO, 60) > 0

        async def go_on() -> None:
            for _ in range(8):
                assert await write(predictions, video.fence, video.next_batch())

        async with create_task_group() as tasks:
            tasks.start_soon(go_on)
            await until(partial(blocks_another, connection))
            await transaction.commit()
    await check(predictions, video.chance)
