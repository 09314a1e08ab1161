"""Hostile clients of a running inference server: bodies that never end, and requests that lie."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import psutil
from anyio import Event, create_task_group, sleep

from tests.inference.requests import infer, output, pictures
from tests.support import models
from tests.support.service import ServiceProcess, running
from tests.support.waiting import until
from tests.torture.battery import Battery, size

ROW = 10
CLIENTS = 40
MIB = 8  # of the largest body
LIES = size(300, 10_000)
UNGUARDED = "tests.torture.clients.unguarded:hoarding"


def memory(server: ServiceProcess) -> float:
    """Of the server's process, in MiB."""
    return float(psutil.Process(server.process.pid).memory_info().rss) / 2**20


async def hold_bodies(server: ServiceProcess) -> tuple[float, int]:
    """Send almost all of the largest body from each client, and keep the rest back.

    Returns by how many MiB memory grew, and how many clients were refused.
    """
    released = Event()
    sent, refused = 0, 0

    async def slow() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(MIB - 1):
            yield b" " * 2**20
        sent += 1
        await released.wait()

    async def post() -> None:
        nonlocal refused
        try:
            answer = await server.http.post("/v2/models/model.onnx/infer", content=slow(), timeout=60)
        except httpx.TransportError:
            refused += 1  # in the middle of it
        else:
            refused += answer.status_code == 503

    before = memory(server)
    async with create_task_group() as group:
        for _ in range(CLIENTS):
            group.start_soon(post)
        await until(lambda: sent + refused >= CLIENTS, timeout=60)
        await sleep(1)  # what was sent arrives
        grown = memory(server) - before
        released.set()
    return grown, refused


async def test_bodies_that_never_end_are_held_up_to_a_bound(tmp_path: Path, battery: Battery) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    async with running(tmp_path, roles="inference", model_root=tmp_path, inference_max_body_mb=MIB) as server:
        output(await infer(server.http, "model.onnx", pictures()))
        grown, refused = await hold_bodies(server)
        assert refused >= CLIENTS - 4
        assert grown < 8 * MIB
        assert output(await infer(server.http, "model.onnx", pictures())).shape == (1, 6, 25)
    lost = f"{refused} refused, memory grew by {grown:.0f} MiB"
    battery.passed(ROW, "bodies for an inference server that never end", f"{CLIENTS} of {MIB} MiB", lost)


async def test_without_the_bound_all_bodies_are_held(tmp_path: Path, battery: Battery) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    async with running(
        tmp_path, app=UNGUARDED, roles="inference", model_root=tmp_path, inference_max_body_mb=MIB
    ) as server:
        output(await infer(server.http, "model.onnx", pictures()))
        grown, refused = await hold_bodies(server)
    assert refused == 0
    assert grown > 16 * MIB
    battery.unguarded(ROW, "the bound on bodies held", f"{CLIENTS} bodies", f"memory grew by {grown:.0f} MiB")


async def test_requests_that_lie_are_refused_and_cost_nothing(tmp_path: Path, battery: Battery) -> None:
    models.yolov8(tmp_path / "model.onnx", (64, 64))
    chance = np.random.default_rng(0)
    whole = b'{"inputs":[{"name":"images","shape":[1,3,64,64],"datatype":"FP32","parameters":'
    whole += b'{"binary_data_size":49152}}]}'
    statuses: set[int] = set()
    async with running(tmp_path, roles="inference", model_root=tmp_path) as server:
        output(await infer(server.http, "model.onnx", pictures()))
        before = memory(server)
        for _ in range(LIES):
            lie = bytearray(whole)
            for place in chance.integers(len(lie), size=chance.integers(1, 4)):
                lie[place] = chance.integers(32, 127)
            headers = {"Inference-Header-Content-Length": str(len(lie) + chance.integers(-2, 3))}
            answer = await server.http.post(
                "/v2/models/model.onnx/infer", content=bytes(lie) + bytes(49152), headers=headers
            )
            statuses.add(answer.status_code)
        grown = memory(server) - before
        assert "Traceback" not in server.log.read_text()
    assert statuses <= {200, 400, 413}
    assert 400 in statuses
    assert grown < 30
    lost = f"0 answers ≥ 500, memory grew by {grown:.0f} MiB"
    battery.passed(ROW, "requests to infer with changed bytes", f"{LIES} requests", lost)
