"""A client that follows `GET /stream` of one api after the other, as a browser does: on from what it saw."""

import json
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg
import httpx
from anyio import TASK_STATUS_IGNORED, sleep
from anyio.abc import TaskStatus

from tests.support.service import ServiceProcess

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]


class Follower:
    """What a stream told, however often it was cut and gone on with elsewhere."""

    def __init__(self, apis: Sequence[ServiceProcess]) -> None:
        self._apis = apis
        self._last: str | None = None
        self.told: list[str] = []
        """The ids of changes, as they came."""
        self.streams = 0

    async def follow(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled. Started once it misses nothing any more."""
        begun = False
        while True:
            headers = {} if self._last is None else {"last-event-id": self._last}
            with suppress(httpx.TransportError):
                async with random.choice(self._apis).http.stream("GET", "/stream", headers=headers) as answer:
                    assert answer.status_code in (200, 503), answer.status_code
                    self.streams += answer.status_code == 200
                    event: dict[str, str] = {}
                    async for line in answer.aiter_lines():
                        name, _, value = line.partition(": ")
                        event[name] = value
                        if not line:
                            self._take(event)
                            event = {}
                        if self._last is not None and not begun:
                            begun = True
                            task_status.started()
            await sleep(0.1)

    def _take(self, event: dict[str, str]) -> None:
        self._last = event.get("id", self._last)
        if event.get("event") == "scenario":
            self.told.append(json.loads(event["data"])["id"])


async def changes(scenarios: "Connection") -> list[str]:
    """The ids of all changes that are stored, as streams must have told them."""
    rows = await scenarios.fetch("SELECT xid, id FROM scenario_events ORDER BY xid, id")
    return [f"{row['xid']}-{row['id']}" for row in rows]
