"""Several processes of the service, connected by a real Kafka, on one embedded PostgreSQL."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from uuid import uuid4

from anyio import create_task_group

from tests.support.paths import ROOT
from tests.support.service import ServiceProcess

SETTINGS = {
    "bus": "kafka",
    "kafka_partitions": 6,
    "heartbeat_interval": 0.5,
    "heartbeat_timeout": 3,
}


class Fleet:
    """Members by name; the one called `api` gets the requests."""

    def __init__(self, folder: Path, media: Path, broker: str) -> None:
        self._folder = folder
        self._settings = SETTINGS | {
            "media_root": media,
            "data_dir": folder / "data",
            "kafka_bootstrap_servers": broker,
            "kafka_topic_prefix": f"fleet-{uuid4().hex[:8]}.",
        }
        self.members: dict[str, ServiceProcess] = {}

    @property
    def api(self) -> ServiceProcess:
        return self.members["api"]

    def add(self, name: str, roles: str, *, app: str = "app.main:app", code: Path = ROOT) -> ServiceProcess:
        """Start a member without waiting for it; `code` is the folder of another version's code."""
        folder = self._folder / name
        folder.mkdir()
        member = ServiceProcess(folder, code, app=app, **self._settings, roles=roles)
        self.members[name] = member
        member.launch()
        return member

    def runner_id(self, name: str) -> str:
        """Return the part of a runner's default name that belongs to this member."""
        return f":{self.members[name].port}"

    async def end(self) -> None:
        """End all members at the same time."""
        async with create_task_group() as group:
            for member in self.members.values():
                group.start_soon(member.end)


@asynccontextmanager
async def fleet(
    folder: Path,
    media: Path,
    broker: str,
    code: Mapping[str, Path] = MappingProxyType({}),
    apps: Mapping[str, str] = MappingProxyType({}),
    /,
    **members: str,
) -> AsyncIterator[Fleet]:
    """Run a fleet during the block: `members` maps names to roles, `code` and `apps` to those of `add`."""
    started = Fleet(folder, media, broker)
    try:
        for name, roles in members.items():
            app = apps.get(name, "app.main:app")
            started.add(name, roles, app=app, code=code.get(name, ROOT))
        for member in started.members.values():
            await member.ready(120)
        yield started
    finally:
        await started.end()
