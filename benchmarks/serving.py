"""What it costs to compute on an inference server: for each picture, in batches of 1 to 8, and with batching.

The hop is measured with a network that computes next to nothing, but takes and gives as much as a YOLO at
640×640: the processor time that a request takes beyond the same network in the caller's own process, in the
caller and the server together. Both run on one machine, so that no network is in it.
"""

import os
import time
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import onnx
from anyio import create_task_group, to_thread
from numpy.typing import NDArray
from onnx import parser

from app.detectors.backends.onnx_runtime import OnnxRuntime
from app.detectors.oip.inference import InferRequest, RequestedOutput, encode_request
from app.detectors.oip.tensors import NamedArray
from benchmarks import network
from benchmarks.processes import cpu, of_service, own_cpu
from benchmarks.table import Row, alternate, command
from tests.support.service import ServiceProcess, running

SIDE = 640
BATCHES = (1, 2, 4, 8)
CLIENTS = 8
_REQUESTS = 20
_SECONDS = 4.0
_CHEAP = """
    <ir_version: 8, opset_import: ["": 17]>
    cheap (float[N, 3, 640, 640] images) => (float[N, 84, 8400] output0) {
        means = ReduceMean <axes = [1, 2, 3], keepdims = 1> (images)
        flat = Constant <value = int64[3] {-1, 1, 1}> ()
        plane = Reshape (means, flat)
        shape = Constant <value = int64[3] {1, 84, 8400}> ()
        output0 = Expand (plane, shape)
    }
"""

Floats = NDArray[np.float32]


def save_cheap(path: Path) -> Path:
    """Write the network that costs only what it takes and gives."""
    path.write_bytes(parser.parse_model(_CHEAP).SerializeToString())
    return path


def save_with_batch(path: Path, height: int, width: int) -> Path:
    """Write the nano with a dynamic batch axis."""
    model = onnx.load(network.save(path, height, width))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    for weights in model.graph.initializer:  # the shapes of its reshaped heads
        if weights.data_type == onnx.TensorProto.INT64 and list(weights.dims) == [3]:
            shape = onnx.numpy_helper.to_array(weights).copy()
            shape[0] = -1
            weights.CopyFrom(onnx.numpy_helper.from_array(shape, weights.name))
    path.write_bytes(model.SerializeToString())
    return path


def body_of(images: Floats) -> tuple[bytes, dict[str, str]]:
    """Return a request with binary tensors: its body and its headers."""
    request = InferRequest((NamedArray("images", images),), (RequestedOutput("output0", True),))
    body = encode_request(request, is_binary=True)
    return body.content, body.headers


async def remote_ms(server: ServiceProcess, model: str, images: Floats) -> float:
    """Return the processor time for each picture in ms, the encoding of the request included."""
    processes = of_service(server)
    began = own_cpu() + cpu(processes)
    for _ in range(_REQUESTS):
        content, headers = body_of(images)
        answer = await server.http.post(f"/v2/models/{model}/infer", content=content, headers=headers)
        assert answer.status_code == 200, answer.text
    return (own_cpu() + cpu(processes) - began) * 1000 / _REQUESTS / len(images)


def local_ms(path: Path, images: Floats) -> float:
    """Return the processor time for each picture in ms, of the same network in this process."""
    session = OnnxRuntime().open(path, {})
    session.run({"images": images})
    began = own_cpu()
    for _ in range(_REQUESTS):
        session.run({"images": images})
    return (own_cpu() - began) * 1000 / _REQUESTS / len(images)


async def pictures_per_second(https: list[httpx.AsyncClient], model: str, images: Floats) -> float:
    """Return what CLIENTS at once get from these servers, one picture in a request, each in turn."""
    content, headers = body_of(images)
    began = time.perf_counter()
    done = 0

    async def ask(http: httpx.AsyncClient) -> None:
        nonlocal done
        while time.perf_counter() - began < _SECONDS:
            answer = await http.post(f"/v2/models/{model}/infer", content=content, headers=headers)
            assert answer.status_code == 200, answer.text
            done += 1

    async with create_task_group() as group:
        for number in range(CLIENTS):
            group.start_soon(ask, https[number % len(https)])
    return done / (time.perf_counter() - began)


async def measure(rounds: int) -> list[Row]:
    """Alternate between the servers and the references, `rounds` times."""
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        models = folder / "models"
        models.mkdir()
        cheap = save_cheap(models / "cheap.onnx")
        nano = save_with_batch(models / "nano.onnx", 192, 320)
        async with (
            _server(folder / "one", models) as one,
            _server(folder / "two", models) as two,
            _server(folder / "batching", models, batch=8) as batching,
        ):
            for batch in BATCHES:
                images = np.zeros((batch, 3, SIDE, SIDE), np.float32)
                local, remote = await alternate(
                    rounds,
                    partial(to_thread.run_sync, local_ms, cheap, images),
                    partial(remote_ms, one, cheap.name, images),
                )
                what = f"a picture of 640×640 on a server, {batch} in a request"
                note = f"the hop costs {remote - local:.1f} ms for each picture"
                rows.append(Row("", what, "CPU ms", remote, local, note=note))
            image = np.zeros((1, 3, 192, 320), np.float32)
            single, both, together = await alternate(
                rounds,
                partial(pictures_per_second, [one.http], nano.name, image),
                partial(pictures_per_second, [one.http, two.http], nano.name, image),
                partial(pictures_per_second, [batching.http], nano.name, image),
            )
            share = await _share(one, two, nano.name, image)
            rows.append(
                Row(
                    "",
                    f"nano at 320×192, {CLIENTS} clients, two servers",
                    "pictures/s",
                    both,
                    single,
                    note=share,
                )
            )
            rows.append(
                Row(
                    "", f"nano at 320×192, {CLIENTS} clients, batches up to 8", "pictures/s", together, single
                )
            )
    return rows


def _server(folder: Path, models: Path, batch: int = 1) -> AbstractAsyncContextManager[ServiceProcess]:
    folder.mkdir()
    return running(folder, roles="inference", model_root=models, inference_batch=batch)


async def _share(one: ServiceProcess, two: ServiceProcess, model: str, image: Floats) -> str:
    """Return in words how many pictures each of two servers computed."""
    before = [await _count(each, model) for each in (one, two)]
    await pictures_per_second([one.http, two.http], model, image)
    first, second = [
        await _count(each, model) - count for each, count in zip((one, two), before, strict=True)
    ]
    return f"the two computed {first} and {second}; both share {os.cpu_count()} cores with the clients"


async def _count(server: ServiceProcess, model: str) -> int:
    told = (await server.http.get(f"/v2/models/{model}/stats")).json()
    count: int = told["model_stats"][0]["inference_count"]
    return count


if __name__ == "__main__":
    command(__doc__, measure)
