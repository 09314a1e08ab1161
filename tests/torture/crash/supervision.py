"""Services whose detectors crash, which are started again each time."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from anyio import sleep
from httpx import TransportError

from tests.support.service import ServiceProcess, running
from tests.support.waiting import until
from tests.torture.battery import size
from tests.torture.crash.verifier import CLIP, Verifier

APP = "tests.torture.crash.services:fatal"
RESTARTS = size(2, 5)
"""The limit of restarts: of those that crash, and of their neighbours too."""


def mock(seed: int) -> dict[str, Any]:
    return {"type": "mock", "seed": seed}


async def create(service: ServiceProcess, detector: dict[str, Any], **options: object) -> UUID:
    """Create a scenario, however often the service has to be asked."""
    scenario_id = uuid4()
    body = {
        "id": str(scenario_id),
        "source": CLIP,
        "detector": detector,
        "sampling": {"mode": "all"},
        "restart": {"policy": "on_failure", "max_restarts": RESTARTS},
        **options,
    }

    async def accepted() -> bool:
        with suppress(TransportError):
            return (await service.http.post("/scenarios", json=body)).status_code in (201, 202)
        return False

    await until(accepted, timeout=60, poll=0.1)
    return scenario_id


async def supervise(services: Sequence[ServiceProcess], deaths: Counter[int]) -> None:
    """Start each again that ended, as a supervisor does."""
    while True:
        for number, service in enumerate(services):
            if service.process.poll() is not None:
                deaths[number] += 1
                service.launch()
        await sleep(0.05)


@asynccontextmanager
async def one_process(
    folder: Path, clips: Path, dsns: tuple[str, str], app: str = APP
) -> AsyncIterator[tuple[ServiceProcess, Verifier]]:
    """All roles in one process, and the verifier."""
    scenarios, predictions = [await asyncpg.connect(dsn) for dsn in dsns]
    settings = {
        "media_root": clips,
        "model_root": clips,
        "scenarios_dsn": dsns[0],
        "predictions_dsn": dsns[1],
    }
    try:
        async with running(folder, app=app, **settings) as service:
            yield service, Verifier(scenarios, predictions)
    finally:
        await scenarios.close()
        await predictions.close()
