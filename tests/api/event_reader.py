"""Read server-sent events over real sockets."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from anyio import fail_after


class EventReader:
    """Reads server-sent events; `last_id` is the id that a browser would reconnect with."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.last_id: str | None = None
        self.comments = 0

    async def next(self, kind: str = "scenario") -> dict[str, Any]:
        """Return the next event of a kind; skip others."""
        event: dict[str, str] = {}
        with fail_after(60):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_id = value
                elif line.startswith(":"):
                    self.comments += 1
                elif line:
                    event[name] = value
                else:
                    if event.get("event") == kind:
                        data: dict[str, Any] = json.loads(event["data"])
                        return data
                    event = {}
        raise EOFError

    async def until_begun(self) -> None:
        """Wait for the position that the stream begins with."""
        with fail_after(60):
            async for line in self._lines:
                if line.startswith("id: "):
                    self.last_id = line.removeprefix("id: ")
                    return


@asynccontextmanager
async def reading(url: str, last_event_id: str | None = None) -> AsyncIterator[EventReader]:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    async with (
        httpx.AsyncClient(timeout=60) as http,
        http.stream("GET", f"{url}/stream", headers=headers) as response,
    ):
        assert response.status_code == 200, await response.aread()
        assert response.headers["content-type"].startswith("text/event-stream")
        reader = EventReader(response.aiter_lines())
        await reader.until_begun()
        yield reader
