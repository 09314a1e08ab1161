"""What a picture of an event costs: processor time to encode it, and time to store, count and remove it.

Encoding is compared with OpenCV's encoder alone on pixels that are ready, storing with the same batch without
a picture, and counting the bytes of all pictures with counting the events.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import av
import cv2

from app.domain.event import Carried, Event
from app.postgres import Connection, Database, migrate, open_database
from app.postgres.embedded.server import embedded_server
from app.predictions.checkpoint import AnalysisUpdate, Batch, Counters, Fence
from app.predictions.evidence import NewPicture
from app.runner.analysing.evidence import MAX_SIDE, to_jpeg
from app.runner.cleanup.evidence_cap import count_bytes, remove_excess
from app.runner.storing import checkpoints, claims
from app.video.pictures import AvPicture
from benchmarks.clips import camera_clip
from benchmarks.table import Row, alternate, command

SIZES = ((1280, 720), (1920, 1080), (3840, 2160))
PICTURE = 160_000  # bytes
STORED = 200_000  # pictures
REMOVED = 200
PICTURES = 20


def pictures(folder: Path, size: tuple[int, int]) -> list[AvPicture]:
    """Return pictures of a fixed camera."""
    with av.open(str(camera_clip(folder / f"{size[0]}.mp4", seconds=1, size=size))) as clip:
        return [AvPicture(frame) for frame in clip.decode(video=0)][:PICTURES]


def encode(found: list[AvPicture]) -> float:
    """Return the milliseconds of processor time for a picture."""
    begun = time.thread_time()
    for picture in found:
        to_jpeg(picture)
    return (time.thread_time() - begun) / len(found) * 1e3


def encode_alone(found: list[AvPicture]) -> float:
    """Return those of the encoder alone."""
    height = round(MAX_SIDE * found[0].height / found[0].width)
    ready = [picture.bgr((MAX_SIDE, height)) for picture in found]
    begun = time.thread_time()
    for image in ready:
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return (time.thread_time() - begun) / len(found) * 1e3


def alert(number: int) -> Event:
    return Event(
        number,
        "alert",
        "ended",
        "person",
        7,
        "visitor",
        None,
        0,
        0.0,
        0,
        0.0,
        0,
        0.0,
        (0.0, 0.0, 9.0, 9.0),
        0.9,
    )


def one_event(number: int, *, has_picture: bool) -> Batch:
    """Return a batch of one skipped frame, with one event."""
    jpeg = b"x" * PICTURE
    found = (NewPicture(number, 0, 0.0, 1.0, (1280, 720), (0.0, 0.0, 9.0, 9.0), jpeg),)
    update = AnalysisUpdate(Carried(), (alert(number),), pictures=found if has_picture else ())
    return Batch(
        number - 1, number, [], Counters(), 0.0, 0.0, "all", 0, 0, source_state="open", is_live=True,
        analysis=update,
    )  # fmt: skip


async def write(database: Database, *, has_picture: bool) -> float:
    """Return the milliseconds for a batch."""
    fence = Fence(uuid4(), 1, uuid4())
    async with database.connection() as connection:
        await claims.claim(connection, fence)
        begun = time.perf_counter()
        for number in range(1, PICTURES + 1):
            assert await checkpoints.write(connection, fence, one_event(number, has_picture=has_picture))
    return (time.perf_counter() - begun) / PICTURES * 1e3


async def fill(connection: Connection, scenario_id: UUID) -> None:
    """Store events with pictures, whose bytes are only claimed."""
    await connection.execute(
        "INSERT INTO events (scenario_id, event_id, start_frame, end_frame, best_frame, start_time, end_time,"
        " best_time, best_confidence, kind, state, name, label, best_box)"
        " SELECT $1, n, n, n, n, n, n, n, 1, 'alert', 'ended', 'visitor', 'person', '{0,0,9,9}'"
        "   FROM generate_series(1, $2::integer) AS n",
        scenario_id,
        STORED,
    )
    await connection.execute(
        "INSERT INTO evidence (scenario_id, frame, time, width, height, bytes, picture)"
        " SELECT $1, n, n, 1280, 720, $3, '' FROM generate_series(1, $2::integer) AS n",
        scenario_id,
        STORED,
        PICTURE,
    )
    await connection.execute(
        "INSERT INTO event_pictures (scenario_id, event_id, frame, score, box)"
        " SELECT $1, n, n, 1, '{0,0,9,9}' FROM generate_series(1, $2::integer) AS n",
        scenario_id,
        STORED,
    )
    await connection.execute("VACUUM ANALYZE evidence, event_pictures, events")


async def count(connection: Connection) -> float:
    """Return the milliseconds to count the bytes of all pictures."""
    begun = time.perf_counter()
    await count_bytes(connection)
    return (time.perf_counter() - begun) * 1e3


async def count_events(connection: Connection) -> float:
    """Return those to count all events."""
    begun = time.perf_counter()
    await connection.fetchval("SELECT count(*) FROM events")
    return (time.perf_counter() - begun) * 1e3


async def remove(connection: Connection) -> float:
    """Return the milliseconds to remove some of the oldest, counting included."""
    most = await count_bytes(connection) - REMOVED * PICTURE
    begun = time.perf_counter()
    async with connection.transaction():
        assert await remove_excess(connection, most, REMOVED) == REMOVED
    return (time.perf_counter() - begun) * 1e3


async def measure(rounds: int) -> list[Row]:
    """Alternate between the measurements and their references, `rounds` times."""
    cv2.setNumThreads(1)
    rows: list[Row] = []
    with TemporaryDirectory() as name:
        for size in SIZES:
            found = pictures(Path(name), size)
            own, alone = await alternate(rounds, lambda: encode(found), lambda: encode_alone(found))  # noqa: B023
            rows.append(Row("", f"a picture of {size[0]} × {size[1]} encoded", "ms of CPU", own, alone))
        async with embedded_server(Path(name) / "postgres", databases=["predictions"]) as server:
            dsn = server.dsn("predictions")
            await migrate(dsn, "app.predictions")
            async with open_database(dsn) as database, database.connection() as connection:
                stored, without = await alternate(
                    rounds,
                    lambda: write(database, has_picture=True),
                    lambda: write(database, has_picture=False),
                )
                await fill(connection, uuid4())
                counted, events, removed = await alternate(
                    rounds,
                    lambda: count(connection),
                    lambda: count_events(connection),
                    lambda: remove(connection),
                )
    rows += [
        Row("", "a batch with an event and its picture of 160 kB stored", "ms", stored, without),
        Row("", f"{STORED:,} pictures counted", "ms", counted, events),
        Row("", f"the oldest {REMOVED} of them removed, counting included", "ms", removed, counted),
    ]
    return rows


if __name__ == "__main__":
    command(__doc__, measure, rounds=3)
