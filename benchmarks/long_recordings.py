"""Pages of a recording of 24 hours, compared with the same pages of its first minute.

Both are analysed at two frames per second of thirty, with five objects that wander through 4 zones and over
2 lines, and stored as a run stores them, in batches with events. A page is read at the beginning, in the
middle and at the end, and the worst of these is shown. The figures are processor time of the client and of
the database server, so that they hold on a busy machine. `--plans` prints the plan of each query.
"""

import argparse
import gc
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec import Struct, structs
from psutil import Process

from app.api.queries.event_counts import count_events
from app.api.queries.events import EventFilter, Order, VideoPosition, list_events
from app.api.queries.label_counts import count_labels
from app.api.queries.predictions import PredictionFilter, list_predictions
from app.api.queries.timeline import TimelineWish, read_timeline
from app.domain.prediction import Detection, Prediction
from app.postgres import Database, migrate, open_database
from app.postgres.embedded.server import embedded_server
from app.predictions.checkpoint import BatchWrite, Fence
from app.runner.storing import checkpoints, claims
from benchmarks.analysis import endless_footage
from benchmarks.event_pages import show_plans
from benchmarks.event_storage import batches
from benchmarks.processes import exact_cpu, of_server, own_cpu
from benchmarks.table import Row, at_most, command

HOURS = 24.0
FPS, STEP = 2, 15  # sampled frames per second, and frames of the video from one to the next
MINUTE = 60
LIMIT = 20  # items per page: a minute has enough of them for three pages
BATCH = 500  # frames
EVERY = 10  # calls of which the time is that of all: a call takes about a millisecond
RARE, RARELY = "zebra", 1200  # a label, and the frames from one that has it to the next


class Recording(Struct, frozen=True):
    """A scenario, the seconds of its video, and how many events and objects it has."""

    scenario_id: UUID
    seconds: float
    events: int
    objects: int


Ask = Callable[[Database, Recording, float], Awaitable[Any]]
"""Reads a page at a place in the video: 0 is its beginning, 1 its end."""


def footage(seconds: float) -> Iterator[Prediction]:
    """Yield what a run would find in the video."""
    for found in islice(endless_footage(5, FPS), int(seconds * FPS)):
        if found.frame % RARELY == RARELY // 20:
            rare = Detection(RARE, 0.5, found.detections[0].box)
            found = structs.replace(found, detections=(*found.detections, rare))
        yield structs.replace(found, frame=found.frame * STEP)


async def fill(database: Database, seconds: float) -> Recording:
    """Store a recording of so many seconds."""
    fence = Fence(uuid4(), 1, uuid4())
    async with database.connection() as connection:
        await claims.claim(connection, fence)
        for batch in batches(footage(seconds), BATCH, 400.0 * STEP, with_events=True):
            assert await checkpoints.write_batches(connection, [BatchWrite(fence, batch)]) == ["stored"]
        events = await connection.fetchval(
            "SELECT count(*) FROM events WHERE scenario_id = $1", fence.scenario_id
        )
        objects = await connection.fetchval(
            "SELECT max(track_id) FROM events WHERE scenario_id = $1", fence.scenario_id
        )
    return Recording(fence.scenario_id, seconds, events, objects)


def predictions(limit: int = LIMIT, *, by_time: bool = False, **wanted: Any) -> Ask:
    """Return what reads a page of predictions."""

    async def ask(database: Database, recording: Recording, place: float) -> Any:
        start = place * max(recording.seconds - LIMIT / FPS, 0)
        between = {"from_time": start} if by_time else {"from_frame": round(start * FPS) * STEP}
        return await list_predictions(
            database, recording.scenario_id, PredictionFilter(**between, **wanted), limit
        )

    return ask


def events(*, by_time: bool = False, order: Order = "asc", **wanted: Any) -> Ask:
    """Return what reads a page of events; by time, those from it on, else those that follow one."""

    async def ask(database: Database, recording: Recording, place: float) -> Any:
        start = recording.seconds * (0.8 * place if order == "asc" else 1 - 0.8 * place)
        after = None if by_time or not place else VideoPosition(recording.scenario_id, start, 0)
        between = (start if by_time else None, None)
        return await list_events(
            database, [recording.scenario_id], EventFilter(**wanted), between, order, after, LIMIT
        )

    return ask


async def object_events(database: Database, recording: Recording, place: float) -> Any:
    """Read the events of one object."""
    wanted = EventFilter(track_id=1 + round(place * (recording.objects - 1)))
    return await list_events(database, [recording.scenario_id], wanted, (None, None), "asc", None, LIMIT)


def timeline(seconds: float | None = None, **wanted: Any) -> Ask:
    """Return what reads the timeline, of the whole or of so many seconds if the recording has them."""

    async def ask(database: Database, recording: Recording, place: float) -> Any:
        if seconds is None:
            return await read_timeline(database, recording.scenario_id, TimelineWish(**wanted))
        length = min(seconds, recording.seconds)
        start = place * (recording.seconds - length)
        wish = TimelineWish(from_time=start, to_time=start + length, **wanted)
        return await read_timeline(database, recording.scenario_id, wish)

    return ask


async def counted_events(database: Database, recording: Recording, _: float) -> Any:
    """Count events by kind, name and label."""
    return await count_events(database, recording.scenario_id)


async def counted_labels(database: Database, recording: Recording, _: float) -> Any:
    """Count labels."""
    return await count_labels(database, recording.scenario_id)


PLACES = (0.0, 0.5, 1.0)
QUESTIONS: dict[str, tuple[Ask, tuple[float, ...]]] = {
    "predictions, by frame": (predictions(), PLACES),
    "predictions, by time": (predictions(by_time=True), PLACES),
    "predictions of a label": (predictions(label="person"), PLACES),
    "predictions of a label, by time": (predictions(by_time=True, label="person"), PLACES),
    "predictions of a rare label": (predictions(1, label=RARE), (0.0,)),  # a minute has one of it
    "predictions of a label that is nowhere": (predictions(label="unicorn"), (0.0,)),
    "predictions of a high confidence": (predictions(min_confidence=0.94), PLACES[:2]),
    "events": (events(), PLACES),
    "events, newest first": (events(order="desc"), PLACES),
    "events, by time": (events(by_time=True), PLACES),
    "events of a kind": (events(kind="line"), PLACES),
    "events of a kind, by time": (events(by_time=True, kind="zone"), PLACES),
    "events of a label": (events(label="person"), PLACES),
    "events of a zone": (events(name="zone 1"), PLACES),
    "events of an object": (object_events, PLACES),
    "events that are open": (events(state="open"), (0.0,)),
    "events that ended, newest first": (events(order="desc", state="ended"), PLACES),
    "timeline, whole": (timeline(), (0.0,)),
    "timeline, whole, of a label": (timeline(label="person"), (0.0,)),
    "timeline of six hours": (timeline(6 * 3600), PLACES),
    "timeline of an hour": (timeline(3600), PLACES),
    "timeline of ten minutes": (timeline(600), PLACES),
    "timeline of a minute": (timeline(60), PLACES),
    "timeline of ten seconds": (timeline(10), PLACES),
    "timeline of a second": (timeline(1), PLACES),
    "counts of events": (counted_events, (0.0,)),
    "counts of labels": (counted_labels, (0.0,)),
}


MORE = ("timeline of six hours", "timeline of an hour", "timeline of ten minutes")
"""What shows more than a minute has: it is compared with the minute's whole, without a goal."""


class Site(Struct, frozen=True):
    """A database, and the processes of its server."""

    database: Database
    server: list[Process]

    async def cost(self, ask: Ask, recording: Recording, place: float) -> float:
        """Return the CPU milliseconds of a page, of client and server together."""
        began = own_cpu() + exact_cpu(self.server)
        for _ in range(EVERY):
            msgspec.json.encode(await ask(self.database, recording, place))
        return 1000 * (own_cpu() + exact_cpu(self.server) - began) / EVERY

    async def compare(
        self, rounds: int, ask: Ask, long: Recording, short: Recording, place: float
    ) -> tuple[float, float]:
        """Return the cost of the page of both, in turns."""
        turns = [[await self.cost(ask, each, place) for each in (long, short)] for _ in range(rounds + 1)]
        return median(each[0] for each in turns[1:]), median(each[1] for each in turns[1:])


async def measure(rounds: int, hours: float = HOURS, *, plans: bool = False) -> list[Row]:
    """Fill a database with both recordings, and read each page of them `rounds` times."""
    rows = []
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = await stack.enter_async_context(
            embedded_server(folder, databases=["predictions"], settings={"fsync": "off"})
        )
        await migrate(server.dsn("predictions"), "app.predictions")
        database = await stack.enter_async_context(open_database(server.dsn("predictions")))
        short, long = await fill(database, MINUTE), await fill(database, hours * 3600)
        gc.freeze()
        async with database.connection() as connection:
            await connection.execute("VACUUM ANALYZE", timeout=600)
            if plans:
                await show_plans(connection)
        site = Site(database, of_server(folder))
        for name, (ask, places) in QUESTIONS.items():
            if plans:
                print(f"--- {name}")
                await ask(database, long, places[len(places) // 2])
                continue
            costs = [await site.compare(rounds, ask, long, short, place) for place in places]
            worst = max(costs, key=lambda cost: cost[0] / cost[1])
            note = "" if len(costs) < 2 else "ratios: " + ", ".join(f"{a / b:.2f}" for a, b in costs)
            goal = None if name in MORE else at_most(2)
            rows.append(Row("17" if goal else "", f"a day's {name}", "CPU ms", *worst, goal, note))
    what = f"{int(long.seconds * FPS):,} frames with {long.events:,} events of {long.objects:,} objects"
    print(f"{what}; the minute has {short.events} events of {short.objects}")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--hours", type=float, default=HOURS)
    parser.add_argument("--plans", action="store_true")
    given, sys.argv[1:] = parser.parse_known_args()
    command(__doc__, partial(measure, hours=given.hours, plans=given.plans))
