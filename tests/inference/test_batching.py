"""Dynamic batching: what waits together is computed together, and each client gets its own part."""

import threading
from pathlib import Path

import httpx
import numpy as np
import pytest
from anyio import create_task_group, fail_after
from anyio.lowlevel import checkpoint

from app.detectors.backends.onnx_runtime import OnnxRuntime
from app.detectors.backends.session import InferenceError
from app.inference import batching
from app.inference.batching import BatchScheduler, BusyError
from app.inference.hosted_model import HostedModel
from tests.inference.conftest import Serve
from tests.inference.requests import Floats, infer, output, pictures
from tests.support import models

FREE = "folder/free.onnx"


class Held(HostedModel):
    """A model whose first computation waits until it is let go, and that keeps the batches' lengths."""

    let_go = threading.Event()
    lengths: list[int]
    fails_together = False

    def compute(self, feeds, outputs):  # type: ignore[no-untyped-def]
        self.lengths.append(len(feeds["images"]))
        if self.fails_together and len(feeds["images"]) > 1:
            raise InferenceError("too many")
        self.let_go.wait(10)
        return super().compute(feeds, outputs)


@pytest.fixture
def held(tmp_path: Path) -> Held:
    path = models.yolov8(tmp_path / "held.onnx", None)
    model = Held(OnnxRuntime().open(path, {}), "digest")
    model.let_go, model.lengths = threading.Event(), []
    return model


async def together(scheduler: BatchScheduler, model: Held, asked: list[Floats]) -> list[Floats]:
    """Ask for all while the first is computed, and return the outputs in the same order."""
    found: dict[int, Floats] = {}

    async def ask(number: int) -> None:
        (values,), _ = await scheduler.infer(model, {"images": asked[number]}, ("output0",))
        found[number] = values

    with fail_after(20):
        async with create_task_group() as group:
            await group.start(scheduler.run)
            async with create_task_group() as clients:
                for number in range(len(asked)):
                    clients.start_soon(ask, number)
                while len(scheduler._waiting) < len(asked) - 1:
                    await checkpoint()
                model.let_go.set()
            group.cancel_scope.cancel()
    return [found[number] for number in range(len(asked))]


def alone(model: Held, images: Floats) -> Floats:
    found: Floats = HostedModel.compute(model, {"images": images}, ("output0",))[0]
    return found


async def test_each_request_gets_its_own_part_of_the_batch(held: Held) -> None:
    asked = [pictures(count, seed=count) for count in (1, 2, 1, 3, 1, 4)]
    found = await together(BatchScheduler(1, 8), held, asked)
    assert held.lengths == [1, 7, 4]  # 2 + 1 + 3 + 1, and 4 would be too many
    for images, values in zip(asked, found, strict=True):
        np.testing.assert_allclose(values, alone(held, images), atol=1e-5)


async def test_other_sizes_are_computed_apart(held: Held) -> None:
    asked = [pictures(), pictures(side=64), pictures(side=96), pictures(side=64)]
    found = await together(BatchScheduler(1, 8), held, asked)
    assert sorted(held.lengths) == [1, 1, 2]
    assert [values.shape for values in found] == [alone(held, images).shape for images in asked]


async def test_with_a_batch_of_one_each_request_is_computed_alone(held: Held) -> None:
    await together(BatchScheduler(1, 1), held, [pictures(seed=seed) for seed in range(4)])
    assert held.lengths == [1, 1, 1, 1]


async def test_a_batch_that_fails_is_computed_one_by_one(held: Held) -> None:
    held.fails_together = True
    asked = [pictures(seed=seed) for seed in range(3)]
    found = await together(BatchScheduler(1, 8), held, asked)
    assert held.lengths == [1, 2, 1, 1]
    assert all(
        np.array_equal(values, alone(held, images)) for images, values in zip(asked, found, strict=True)
    )


def test_a_model_is_batched_only_if_all_first_axes_are_the_same(tmp_path: Path) -> None:
    """The rows of a network with suppression inside are not one for each picture."""
    fixed = models.yolov8(tmp_path / "fixed.onnx", (64, 64))
    free = models.yolov8(tmp_path / "free.onnx", None)
    rows = models.rows_of_all(tmp_path / "rows.onnx")
    can = [HostedModel(OnnxRuntime().open(path, {}), "").can_batch for path in (fixed, free, rows)]
    assert can == [False, True, False]


async def test_requests_end_when_the_service_does(held: Held) -> None:
    scheduler = BatchScheduler(1)
    raised: list[bool] = []

    async def ask() -> None:
        with pytest.raises(BusyError):
            await scheduler.infer(held, {"images": pictures()}, ("output0",))
        raised.append(True)

    with fail_after(20):
        async with create_task_group() as clients, create_task_group() as group:
            await group.start(scheduler.run)
            clients.start_soon(ask)
            clients.start_soon(ask)
            while not scheduler._waiting:
                await checkpoint()
            group.cancel_scope.cancel()
            held.let_go.set()
    assert raised == [True, True]
    assert held.lengths in ([1], [])  # its thread may not have begun
    with pytest.raises(BusyError):
        await scheduler.infer(held, {"images": pictures()}, ("output0",))


async def test_a_thread_that_cannot_be_started_costs_its_requests_alone(
    held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    held.let_go.set()
    scheduler = BatchScheduler(1)

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with fail_after(20):
        async with create_task_group() as group:
            await group.start(scheduler.run)
            with monkeypatch.context() as patch:
                patch.setattr(batching, "start_thread", refuse)
                with pytest.raises(RuntimeError, match="can't start"):
                    await scheduler.infer(held, {"images": pictures()}, ("output0",))
            await scheduler.infer(held, {"images": pictures()}, ("output0",))
            group.cancel_scope.cancel()


async def test_a_server_with_batches_answers_as_one_without(serve: Serve) -> None:
    images = [pictures(seed=seed) for seed in range(12)]
    async with serve() as http:
        expected = [output(await infer(http, FREE, each)) for each in images]
    found: dict[int, Floats] = {}

    async def ask(http: httpx.AsyncClient, number: int) -> None:
        found[number] = output(await infer(http, FREE, images[number]))

    async with serve(max_batch=8, slots=1) as http, create_task_group() as group:
        for number in range(12):
            group.start_soon(ask, http, number)
    for number in range(12):
        np.testing.assert_allclose(found[number], expected[number], atol=1e-5)
