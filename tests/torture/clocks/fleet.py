"""A fleet on one database server, each of whose processes has a clock of its own that can be stepped.

What is stepped is the system's clock as a process sees it, through libfaketime: that which `time.time()` and
FFmpeg read, not the monotonic one, which no step of a real clock moves either.
"""

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from uuid import uuid4

from tests.support.missing import skip_or_fail
from tests.support.service import ServiceProcess
from tests.support.waiting import until

HOUR = 3660.0
"""An hour and a minute: more than Kafka lets a message be ahead of its own clock."""
TIMEOUT = 10.0
SETTINGS: dict[str, object] = {
    "bus": "kafka",
    "kafka_partitions": 3,
    "heartbeat_interval": 1.0,
    "heartbeat_timeout": TIMEOUT,
}


def libfaketime() -> Path:
    """The library's path; the test is skipped if it is missing."""
    found = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
    if found is None:
        skip_or_fail("needs libfaketime: install the package faketime")
    return found


class Member(ServiceProcess):
    """A process whose clock is `offset` seconds off."""

    def __init__(self, folder: Path, library: Path, offset: float, app: str, **variables: object) -> None:
        super().__init__(folder, app=app, **variables)
        self._clock = folder / "clock"
        self.step(offset)
        self._variables |= {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def step(self, offset: float) -> None:
        """From now on its clock is that far off."""
        self.offset = offset
        new = self._clock.with_suffix(".new")
        new.write_text(f"{offset:+.0f}\n")
        new.rename(self._clock)

    async def shows_its_clock(self) -> bool:
        """Whether it says itself that it is as late as it was set."""
        answer = await self.http.get("/health/live")
        off = parsedate_to_datetime(answer.headers["date"]).timestamp() - time.time()
        return abs(off - self.offset) < 30


@dataclass
class Fleet:
    """The one that is asked and that leads, and runners by name."""

    leader: Member
    runners: dict[str, Member] = field(default_factory=dict)

    @property
    def members(self) -> list[Member]:
        return [self.leader, *self.runners.values()]


@asynccontextmanager
async def clock_fleet(
    folder: Path,
    media: Path,
    broker: str,
    dsns: tuple[str, str],
    offsets: Mapping[str, float],
    *,
    app: str = "app.main:app",
) -> AsyncIterator[Fleet]:
    """An orchestrator with a right clock, and runners (name → by how much theirs are off at the start)."""
    library = libfaketime()
    shared = SETTINGS | {
        "media_root": media,
        "kafka_bootstrap_servers": broker,
        "kafka_topic_prefix": f"clocks-{uuid4().hex[:8]}.",
        "scenarios_dsn": dsns[0],
        "predictions_dsn": dsns[1],
    }

    def member(name: str, roles: str, offset: float, app: str) -> Member:
        (folder / name).mkdir()
        return Member(folder / name, library, offset, app, **shared, roles=roles, runner_id=name)

    fleet = Fleet(member("leader", "api,orchestrator", 0, app))
    for name, offset in offsets.items():
        fleet.runners[name] = member(name, "runner", offset, "app.main:app")
    try:
        for each in fleet.members:
            each.launch()
        for each in fleet.members:
            await each.ready(90)
            await until(each.shows_its_clock)
        yield fleet
    finally:
        for each in fleet.members:
            each.kill()
            await each.http.aclose()
