"""The whole service in this process: on a port, over databases of its own, stopped and started at will."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import msgspec
import uvicorn

from app.domain.channels import Channel
from app.domain.networks import Networks
from app.postgres import Database, open_database
from app.service import Service
from app.settings import Settings
from tests.support.databases import Databases
from tests.support.ports import free_port
from tests.support.waiting import until

Json = dict[str, Any]


class Site:
    """One service, and the folder of its recordings. `url` ends with a slash.

    If VA_PUBLIC_URL has a path, it is reached below that, as through a proxy that removes it.
    """

    def __init__(
        self,
        settings: Settings,
        scenarios: Database,
        predictions: Database,
        channels: Mapping[str, Channel] = MappingProxyType({}),
    ) -> None:
        self.settings = settings
        self._channels = channels
        self.scenarios = scenarios
        self.predictions = predictions
        self.media = settings.media_root
        self.url = f"http://127.0.0.1:{settings.port}{settings.path_prefix}/"
        headers = {"Authorization": f"Bearer {settings.api_keys[0]}"} if settings.api_keys else {}
        # Close idle connections before the server does, which might close one just as it is used again.
        limits = httpx.Limits(keepalive_expiry=2)
        self.http = httpx.AsyncClient(base_url=self.url, timeout=30, headers=headers, limits=limits)
        self._server: uvicorn.Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and return when it is ready."""
        config = uvicorn.Config(
            below(self.settings.path_prefix, Service(self.settings, channels=self._channels).application()),
            port=self.settings.port,
            lifespan="on",
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._task = asyncio.create_task(self._server.serve())
        running, task = self._server, self._task
        await until(lambda: running.started or task.done())
        assert running.started, "the service did not start"

    async def stop(self) -> None:
        """Stop it, with what it holds open. Does nothing if it does not run."""
        if self._server is not None and self._task is not None:
            self._server.should_exit = True
            await self._task
            self._server = self._task = None

    async def create(self, source: str, detector: Json, **options: Any) -> str:
        """Create a scenario, and return its id when it exists."""
        answer = await self.http.post("scenarios", json={"source": source, "detector": detector, **options})
        assert answer.status_code in (201, 202), answer.text
        scenario_id: str = answer.json()["id"]

        async def exists() -> bool:
            return (await self.http.get(f"scenarios/{scenario_id}")).status_code == 200

        await until(exists)
        return scenario_id

    async def reaches(self, scenario_id: str, state: str) -> Json:
        """Wait until a scenario is in this state, and return it."""

        async def found() -> Json | None:
            scenario: Json = (await self.http.get(f"scenarios/{scenario_id}")).json()
            return scenario if scenario["state"] == state else None

        scenario = await until(found)
        assert scenario is not None
        return scenario


def below(prefix: str, app: Any) -> Any:
    """Return an application that answers only below a path, and removes that from each request."""

    async def proxied(scope: Json, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            assert scope["path"].startswith(f"{prefix}/"), scope["path"]
            scope = {
                **scope,
                "path": scope["path"][len(prefix) :],
                "raw_path": scope["raw_path"][len(prefix) :],
            }
        await app(scope, receive, send)

    return proxied if prefix else app


@asynccontextmanager
async def open_site(
    server: Databases,
    folder: Path,
    *,
    channels: Mapping[str, Channel] = MappingProxyType({}),
    **settings: Any,
) -> AsyncIterator[Site]:
    """Run a service during the block, with these channels, and settings besides what it needs."""
    for name in ("media", "models", "data"):
        (folder / name).mkdir(exist_ok=True)
    async with (
        server.copy("app.scenarios") as scenarios_dsn,
        server.copy("app.predictions") as predictions_dsn,
        open_database(scenarios_dsn) as scenarios,
        open_database(predictions_dsn) as predictions,
    ):
        defaults = Settings(
            scenarios_dsn=scenarios_dsn,
            predictions_dsn=predictions_dsn,
            media_root=folder / "media",
            model_root=folder / "models",
            data_dir=folder / "data",
            source_networks=Networks("loopback"),
            port=free_port(),
        )
        site = Site(msgspec.structs.replace(defaults, **settings), scenarios, predictions, channels)
        try:
            await site.start()
            yield site
        finally:
            await site.stop()
            await site.http.aclose()
