"""Requests one page repeatedly over persistent connections, and prints the answers per second.

It runs as its own cheap process: it counts answers by their bytes, because all have the same length.
"""

import argparse
import asyncio
import time
from functools import partial
from typing import cast

import uvloop


class Asker(asyncio.Protocol):
    """One connection with one request at a time."""

    def __init__(self, request: bytes, length: int) -> None:
        self._request = request
        self._length = length
        self._got = 0
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._got >= self._length:
            assert self._got == self._length, "an answer is longer than the first was"
            self._got = 0
            self.answers += 1
            self._transport.write(self._request)


async def length_of(request: bytes, port: int) -> int:
    """Return the length of an answer, whose status must be 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    lines = [line.partition(b": ") for line in head.lower().split(b"\r\n")]
    body = int(next(value for name, _, value in lines if name == b"content-length"))
    writer.close()
    return len(head) + body


def _same(asker: Asker) -> Asker:
    return asker


async def ask(port: int, path: str, connections: int, seconds: float) -> float:
    """Return the answers per second, after a warm-up of a fifth of the time."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    length = await length_of(request, port)
    loop = asyncio.get_running_loop()
    askers = [Asker(request, length) for _ in range(connections)]
    for asker in askers:
        await loop.create_connection(partial(_same, asker), "127.0.0.1", port)
    await asyncio.sleep(seconds / 5)
    before, began = sum(asker.answers for asker in askers), time.perf_counter()
    await asyncio.sleep(seconds)
    return (sum(asker.answers for asker in askers) - before) / (time.perf_counter() - began)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    print(uvloop.run(ask(given.port, given.path, given.connections, given.seconds)))
