"""What benchmarks do with a running service."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime

from app.postgres.embedded.server import embedded_server
from tests.support.service import Json, ServiceProcess
from tests.support.waiting import until

POLL = 0.25
"""Seconds between polls: more frequent polls would add to the measured work."""

LONGEST = 120.0


@asynccontextmanager
async def predictions_of(service: ServiceProcess) -> AsyncGenerator[str, None]:
    """Yield the address of the service's predictions database."""
    async with embedded_server(service.folder / "data" / "postgres", databases=["predictions"]) as server:
        yield server.dsn("predictions")


async def busy_seconds(
    service: ServiceProcess, scenarios: int, source: str, detector: Json, **options: object
) -> float:
    """Run scenarios at the same time; return the seconds from the first start to the last end."""
    ids = [await service.create(source, detector, **options) for _ in range(scenarios)]
    ended = [await completed(service, scenario_id) for scenario_id in ids]
    assert all(ended)
    histories = [await service.history(scenario_id) for scenario_id in ids]
    first = min(_time(history[0]) for history in histories)
    last = max(_time(history[-1]) for history in histories)
    return (last - first).total_seconds()


async def completed(service: ServiceProcess, scenario_id: str) -> Json:
    """Wait until the scenario has completed, and return it."""

    async def ended() -> Json | None:
        scenario = await service.get(scenario_id)
        return scenario if scenario["state"] == "inactive" else None

    scenario = await until(ended, LONGEST, poll=POLL)
    assert scenario is not None
    assert scenario["outcome"] == "completed", scenario
    return scenario


def _time(event: Json) -> datetime:
    return datetime.fromisoformat(event["at"])
