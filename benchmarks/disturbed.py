"""The service while another process takes a core of each two, compared with its references beside the same.

Rows 2 and 9 of docs/performance.md are measured without and with the other process, in turns of the service
and its reference. What counts is how much of the ratio is left. The ideal of row 2 is computed from processor
time; beside the other process, it is the share of it for which that one left room.
"""

import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import cv2
import psutil
from anyio import to_thread

from app.postgres.embedded.server import embedded_server
from benchmarks import inference, instead, network
from benchmarks.clips import camera_clip
from benchmarks.processes import cpu
from benchmarks.services import predictions_of
from benchmarks.table import Row, at_least, command
from tests.support.clips import marker_clip
from tests.support.service import running

LEFT = 0.9  # of the ratio


def spin(core: int) -> None:
    """Keep a core busy, for ever."""
    psutil.Process().cpu_affinity([core])
    while True:
        pass


@contextmanager
def other_processes() -> Iterator[list[psutil.Process]]:
    """Keep every other core busy during the block."""
    context = get_context("spawn")
    started = [
        context.Process(target=spin, args=(core,), daemon=True) for core in range(1, inference.CORES, 2)
    ]
    for each in started:
        each.start()
    try:
        yield [psutil.Process(each.pid) for each in started]
    finally:
        for each in started:
            each.kill()
            each.join()


async def beside(others: list[psutil.Process], work: Callable[[], Awaitable[float]]) -> tuple[float, float]:
    """Return the work's result, and the share of all cores that others left to it."""
    before, began = cpu(others), time.perf_counter()
    result = await work()
    taken = (cpu(others) - before) / (time.perf_counter() - began)
    return result, 1 - taken / inference.CORES


async def against_ideal(rounds: int, folder: Path) -> list[Row]:
    """Return the rows of one scenario against an ideal overlap."""
    rows = []
    async with (
        running(folder, media_root=folder, model_root=folder) as service,
        predictions_of(service) as dsn,
    ):
        for height, width, frames in inference.CASES:
            model = network.save(folder / f"{height}.onnx", height, width).name
            clip = marker_clip(folder / f"{height}.mp4", frames=frames, size=(1280, 720)).name
            case = inference.Case(folder, clip, model, frames)
            run = partial(inference.through_the_service, case, service, 1)
            quiet, disturbed, rooms = [], [], []
            for _ in range(rounds):
                ideal = await inference.ideal(case, folder, dsn)
                quiet.append(await run() / ideal)
                with other_processes() as others:
                    rate, room = await beside(others, run)
                disturbed.append(rate / (ideal * room))
                rooms.append(room)
            what = f"720p, every frame, nano at {width}×{height}, against the ideal"
            rows.append(_row(what, quiet, disturbed, f"room: {_list(rooms)} of all cores"))
    return rows


async def against_script(rounds: int, folder: Path) -> list[Row]:
    """Return the rows against what a user would write instead."""
    rows = []
    async with (
        running(folder, media_root=folder, model_root=folder) as service,
        embedded_server(folder / "data" / "postgres", databases=["scripts"]) as server,
    ):
        site = instead.Site(service, server.dsn("scripts"))
        for case in instead.CASES:
            size = case.clip_width, case.clip_height
            clip = camera_clip(
                folder / f"{case.clip_height}-{case.seconds}.mp4", seconds=case.seconds, size=size
            )
            model = network.save(folder / f"{case.height}.onnx", case.height, case.width)
            detector = {"type": "onnx", "model": model.name}
            ratios: tuple[list[float], list[float]] = [], []
            for number in range(2 * rounds):
                with other_processes() if number % 2 else nullcontext():
                    own = (await site.scenario(clip, case.seconds, detector, {"mode": "all"})).rate
                    other = await to_thread.run_sync(
                        site.script, "script", clip, str(model), Path(sys.executable)
                    )
                ratios[number % 2].append(own / other.rate)
            rows.append(_row(f"{case}, against a script", *ratios))
    return rows


def _row(what: str, quiet: list[float], disturbed: list[float], note: str = "") -> Row:
    notes = [note, f"quiet: {_list(quiet)}", f"beside it: {_list(disturbed)}"]
    values = median(disturbed), median(quiet)
    return Row("16", what, "ratio", *values, at_least(LEFT), "; ".join(filter(None, notes)))


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


async def measure(rounds: int) -> list[Row]:
    """Measure both, with and without the other processes in turns."""
    cv2.setNumThreads(1)  # as app.process does
    with TemporaryDirectory() as first, TemporaryDirectory() as second:
        return [
            *await against_ideal(rounds, Path(first)),
            *await against_script(rounds, Path(second)),
        ]


if __name__ == "__main__":
    command(__doc__, measure)
