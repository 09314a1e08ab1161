"""An inference server over two models, and a client of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import httpx
import pytest
from anyio.abc import TaskStatus

from app.api import ApiOptions, MountedApp, create_app
from app.detectors.backends.onnx_runtime import OnnxRuntime
from app.detectors.onnx.cache import FileCache
from app.inference.application import InferenceApp
from app.inference.batching import BatchScheduler
from app.inference.hosted_model import HostedModel
from tests.support import models

KEY = "a-key-of-at-least-sixteen"
MAX_BODY = 2 * 2**20

Serve = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Serve the models `fixed.onnx` (64×64) and `folder/free.onnx` (any size and batch)."""
    (tmp_path / "folder").mkdir()
    models.yolov8(tmp_path / "fixed.onnx", (64, 64), {"names": models.NAMES})
    models.yolov8(tmp_path / "folder" / "free.onnx", None)

    @asynccontextmanager
    async def serve(
        *,
        max_batch: int = 1,
        slots: int = 2,
        keys: tuple[str, ...] = (),
        client: str = "127.0.0.1",
    ) -> AsyncIterator[httpx.AsyncClient]:
        inference = InferenceApp("1", MAX_BODY)
        mounted = MountedApp("/v2", inference, inference.refuse, keys, "VA_INFERENCE_KEY")
        app = create_app(ApiOptions(version="1", mounted=mounted), has_resources=False)
        cache = FileCache(tmp_path, OnnxRuntime(), HostedModel, recent=2)
        transport = httpx.ASGITransport(app, client=(client, 1))  # type: ignore[arg-type]
        started = asyncio.Event()
        # No task group, because a fixture is left in another task than it was entered in.
        work = inference.serve(
            cache,
            BatchScheduler(slots, max_batch),
            task_status=cast("TaskStatus[None]", SimpleNamespace(started=started.set)),
        )
        task = asyncio.create_task(work)
        try:
            await started.wait()
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                yield http
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    return serve


@pytest.fixture
async def http(serve: Serve) -> AsyncIterator[httpx.AsyncClient]:
    async with serve() as client:
        yield client
