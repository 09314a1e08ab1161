"""A service that notes how late its event loop is, in the file `lag` of the folder in which it runs."""

import asyncio
from array import array
from pathlib import Path
from typing import Any

from app.main import app as service

FILE = "lag"
EVERY = 0.01  # seconds
_task: list[asyncio.Task[None]] = []


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Serve as the service does."""
    if scope["type"] == "lifespan":
        _task.append(asyncio.create_task(_note()))
    await service(scope, receive, send)


async def _note() -> None:
    """Append the seconds by which each wake-up was late, as doubles."""
    loop = asyncio.get_running_loop()
    with Path(FILE).open("ab", buffering=8 * 256) as file:  # noqa: ASYNC230 - it is on this machine
        while True:
            due = loop.time() + EVERY
            await asyncio.sleep(EVERY)
            file.write(array("d", [loop.time() - due]).tobytes())
