"""Exports of a running service, compared with a bare cursor that writes the same bytes to a file.

The cursor is what a script would do that knows how predictions are stored: a row at a time, csv or msgspec,
no pages, no HTTP. COCO needs two passes of both. The memory of the service's process is compared with that
during an export of a third of the length. `--detections 10000000 --rounds 0` measures memory alone, in ten
minutes.
"""

import argparse
import csv
import hashlib
import io
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import msgspec
import psutil
import pyarrow as pa
from anyio import create_task_group, sleep
from msgspec import Struct
from pyarrow.parquet import ParquetWriter

from app.api.exports.formats import Format
from app.api.exports.tables import PREDICTION_COLUMNS
from app.domain.prediction import FrameSize, Prediction
from app.postgres import Connection, open_connection
from app.predictions.codec import decode
from benchmarks.services import predictions_of
from benchmarks.table import Row, alternate, at_least, at_most, command
from tests.support.service import ServiceProcess, running

DETECTIONS = 300_000
PER_FRAME = 4
SIZES = [FrameSize(0, 1280, 720)]
FORMATS: tuple[Format, ...] = ("csv", "jsonl", "parquet", "coco", "mot")
NAME = "front door"

# Boxes and confidences of many values, as those of a detector; each object is followed.
FILL = """
    INSERT INTO predictions (scenario_id, frame, time, labels, confidences, boxes, track_ids)
    SELECT $1, n, n / 30.0, E'person\\nperson\\ncar\\ndog',
           float4send((0.3 + (n * 7919) % 7000 / 1e4)::real)
           || float4send((0.3 + (n * 104729) % 7000 / 1e4)::real) || float4send(0.5) || float4send(0.75),
           (SELECT string_agg(float4send(((n * 613 + side * 7907) % 72000 / 100.0)::real), '')
              FROM generate_series(1, 16) AS side),
           ARRAY[n / 50, n / 50 + 1, n / 70, n / 90]
      FROM generate_series($2::bigint, $3::bigint) AS n
"""
READ = """
    SELECT frame, time, labels, confidences, boxes, track_ids, error FROM predictions
     WHERE scenario_id = $1 ORDER BY frame
"""


async def fill(connection: Connection, scenario_id: UUID, frames: int) -> None:
    """Store frames, with all numbers from 0 on."""
    await connection.execute("DELETE FROM predictions WHERE scenario_id = $1", scenario_id)
    for start in range(0, frames, 100_000):
        end = min(start + 100_000, frames) - 1
        await connection.execute(FILL, scenario_id, start, end, timeout=600)
    await connection.execute(
        "UPDATE checkpoints SET next_frame = $2, sizes = $3::text::json WHERE scenario_id = $1",
        scenario_id, frames, msgspec.json.encode(SIZES).decode(),
    )  # fmt: skip
    await connection.execute("VACUUM ANALYZE predictions", timeout=600)


async def rows(connection: Connection, scenario_id: UUID) -> AsyncIterator[Prediction]:
    """Yield what a cursor reads."""
    async with connection.transaction():
        async for row in connection.cursor(READ, scenario_id, prefetch=1000):
            yield decode(row, sizes=SIZES)


Write = Callable[[UUID, Callable[[], AsyncIterator[Prediction]], Path], Any]


def fields(owner: str, found: Prediction) -> Iterator[tuple[object, ...]]:
    """Yield the columns of csv and Parquet, a tuple for each detection."""
    for each in found.detections:
        yield (
            owner, NAME, found.frame, found.time, None, each.label, each.confidence, *each.box, each.track_id,
            each.class_id, found.width, found.height,
        )  # fmt: skip


async def bare_csv(scenario_id: UUID, read: Callable[[], AsyncIterator[Prediction]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(PREDICTION_COLUMNS)
        async for found in read():
            writer.writerows(fields(str(scenario_id), found))


async def bare_jsonl(scenario_id: UUID, read: Callable[[], AsyncIterator[Prediction]], path: Path) -> None:
    start = b'{"scenario_id":"%s",' % str(scenario_id).encode()
    with path.open("wb") as file:
        async for found in read():
            file.write(start + msgspec.json.encode(found)[1:] + b"\n")


async def bare_mot(_: UUID, read: Callable[[], AsyncIterator[Prediction]], path: Path) -> None:
    with path.open("w", newline="") as file:
        async for found in read():
            for each in found.detections:
                x1, y1, x2, y2 = each.box
                left, top, width, height = (round(side, 2) for side in (x1 + 1, y1 + 1, x2 - x1, y2 - y1))
                file.write(
                    f"{found.frame + 1},{each.track_id},{left},{top},{width},{height},{each.confidence}"
                    ",-1,-1,-1\n"
                )


async def bare_coco(scenario_id: UUID, read: Callable[[], AsyncIterator[Prediction]], path: Path) -> None:
    names: dict[str, int] = {}
    encode, number = msgspec.json.encode, 0
    with path.open("wb") as file:
        file.write(b'{"info":{"description":"exported by videoanalysis"},"images":[')
        comma = b""
        async for found in read():
            file.write(comma + encode({
                "id": found.frame + 1, "file_name": f"{scenario_id}/{found.frame:09d}.jpg",
                "width": found.width, "height": found.height, "video_id": 1, "frame_id": found.frame,
                "time": found.time,
            }))  # fmt: skip
            comma = b","
        file.write(b'],"annotations":[')
        comma = b""
        async for found in read():
            for each in found.detections:
                number += 1
                x1, y1, x2, y2 = each.box
                width, height = round(x2 - x1, 2), round(y2 - y1, 2)
                category = names.setdefault(each.label, len(names) + 1)
                file.write(comma + encode({
                    "id": number, "image_id": found.frame + 1, "category_id": category,
                    "bbox": [x1, y1, width, height], "area": round(width * height, 4), "iscrowd": 0,
                    "segmentation": [], "score": each.confidence, "track_id": each.track_id,
                }))  # fmt: skip
                comma = b","
        categories = [{"id": known, "name": label} for label, known in names.items()]
        videos = [{"id": 1, "name": NAME, "scenario_id": scenario_id}]
        file.write(b'],"categories":' + encode(categories) + b',"videos":' + encode(videos) + b"}\n")


async def bare_parquet(scenario_id: UUID, read: Callable[[], AsyncIterator[Prediction]], path: Path) -> None:
    number, whole, text = pa.float64(), pa.int64(), pa.string()
    types = [text, text, whole, number, pa.timestamp("ms", "UTC"), text, *[number] * 5, whole]
    types += [pa.int32()] * 3
    schema = pa.schema(list(zip(PREDICTION_COLUMNS, types, strict=True)))
    held: list[tuple[object, ...]] = []
    with ParquetWriter(path, schema, compression="zstd") as writer:

        def write() -> None:
            columns = zip(zip(*held, strict=True), types, strict=True)
            writer.write_table(pa.table([pa.array(each, kind) for each, kind in columns], schema=schema))
            held.clear()

        async for found in read():
            held.extend(fields(str(scenario_id), found))
            if len(held) >= 100_000:
                write()
        if held:
            write()


BARE: dict[Format, Write] = {
    "csv": bare_csv,
    "jsonl": bare_jsonl,
    "parquet": bare_parquet,
    "coco": bare_coco,
    "mot": bare_mot,
}


async def download(
    service: ServiceProcess, scenario_id: str, name: Format, path: Path, **query: float
) -> None:
    """Save an export of the service."""
    address = f"/scenarios/{scenario_id}/export"
    async with service.http.stream("GET", address, params={"format": name, **query}, timeout=600) as answer:
        assert answer.status_code == 200, await answer.aread()
        with path.open("wb") as file:
            async for part in answer.aiter_raw():
                file.write(part)


async def most_memory(process: psutil.Process, work: Callable[[], Awaitable[None]]) -> float:
    """Return the most MiB that a process has during the work."""
    most = 0

    async def look() -> None:
        nonlocal most
        while True:
            most = max(most, process.memory_info().rss)
            await sleep(0.02)

    async with create_task_group() as tasks:
        tasks.start_soon(look)
        await work()
        tasks.cancel_scope.cancel()
    return most / 2**20


def digest(path: Path) -> str:
    """Return a hash of the content; of Parquet, of its rows as text, because its groups may differ."""
    if path.suffix == ".parquet":
        from pyarrow import csv as arrow_csv
        from pyarrow.parquet import read_table

        text = io.BytesIO()
        arrow_csv.write_csv(read_table(path).replace_schema_metadata(), text)
        return hashlib.sha256(text.getvalue()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Turn(Struct):
    """Seconds of wall time, and of CPU time of the process that writes: the last one is kept."""

    wall: float = 0.0
    cpu: float = 0.0


async def timed(process: psutil.Process, work: Callable[[], Any], turn: Turn) -> float:
    before, began = cpu_seconds(process), time.perf_counter()
    await work()
    turn.wall, turn.cpu = time.perf_counter() - began, cpu_seconds(process) - before
    return turn.wall


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def measure(
    rounds: int, detections: int = DETECTIONS, formats: tuple[Format, ...] = FORMATS
) -> list[Row]:
    """Alternate between the service and the cursor, format by format; both must write the same."""
    found: list[Row] = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with running(folder) as service, predictions_of(service) as dsn:
            scenario_id = await service.create("test:testsrc2?duration=1", {"type": "mock"}, name=NAME)
            await service.ends(scenario_id)
            async with open_connection(dsn) as connection:
                await fill(connection, UUID(scenario_id), detections // PER_FRAME)
                process, own = psutil.Process(service.process.pid), psutil.Process()
                for each in formats:
                    found += await compare(
                        rounds, service, connection, scenario_id, each, detections, (process, own)
                    )
    return found


async def compare(
    rounds: int,
    service: ServiceProcess,
    connection: Connection,
    scenario_id: str,
    name: Format,
    detections: int,
    processes: tuple[psutil.Process, psutil.Process],
) -> list[Row]:
    """Return the rows of one format."""
    folder = service.folder
    exported, bare = folder / f"exported.{name}", folder / f"bare.{name}"
    read = partial(rows, connection, UUID(scenario_id))
    save = partial(download, service, scenario_id, name, exported)
    await save(to_time=0)  # what the format needs is loaded
    third = await most_memory(processes[0], partial(save, to_time=detections / PER_FRAME / 30 / 3))
    whole = await most_memory(processes[0], save)
    title = f"of {detections:,} detections as {name}"
    found = [Row("", f"memory during an export {title}", "MiB", whole, third, at_most(1.25))]
    if rounds:
        turns = Turn(), Turn()
        ours, reference = await alternate(
            rounds,
            partial(timed, processes[0], save, turns[0]),
            partial(timed, processes[1], partial(BARE[name], UUID(scenario_id), read, bare), turns[1]),
        )
        assert digest(exported) == digest(bare), f"{name} differs"
        note = (
            f"{exported.stat().st_size / 1e6:.0f} MB; CPU: {1e6 * turns[0].cpu / detections:.2f} µs a"
            f" detection instead of {1e6 * turns[1].cpu / detections:.2f}"
        )
        speeds = detections / ours, detections / reference
        found.append(Row("", f"export {title}", "detections/s", *speeds, at_least(0.6), note))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--detections", type=int, default=DETECTIONS)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS))
    own, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    command(__doc__, partial(measure, detections=own.detections, formats=tuple(own.formats)))
