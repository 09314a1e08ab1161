"""A way to a database that can be cut, and fall silent."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import parse_qs, urlsplit


class Proxy:
    """Forwards connections on a loopback port to a database's socket. `dsn` leads through it."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self._socket = f"{options['host']}/.s.PGSQL.{options['port']}"
        self._parts = parts
        self._writers: set[StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._loses_answer = False

    @property
    def dsn(self) -> str:
        """The address of the same database, through here."""
        where = f"{self._parts.username}@127.0.0.1:{self._port}{self._parts.path}"
        return f"postgresql://{where}?sslmode=disable"

    @property
    def connections(self) -> int:
        """How many connections lead through here now."""
        return len(self._writers) // 2

    async def open(self) -> None:
        """Let connections through, at first and after `cut` or `silence`."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    def silence(self) -> None:
        """Accept everything and answer nothing, as a network does that loses all packets."""
        self._flows.clear()

    def cut(self) -> None:
        """End every connection and refuse new ones, as a machine does whose database ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    def lose_answer(self) -> None:
        """Cut the connection over which the server answers next, in place of its answer."""
        self._loses_answer = True

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_unix_connection(self._socket)
        ends = {writer, upstream_writer}
        self._writers |= ends
        try:
            await asyncio.gather(
                self._pump(reader, upstream_writer), self._pump(upstream_reader, writer, answers=True)
            )
        finally:
            for end in ends:
                end.transport.abort()
            self._writers -= ends

    async def _pump(self, reader: StreamReader, writer: StreamWriter, *, answers: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                if answers and self._loses_answer:
                    self._loses_answer = False
                    break
                writer.write(data)
                await writer.drain()
        await self._flows.wait()
        writer.transport.abort()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy before the database of this address."""
    proxy = Proxy(dsn)
    await proxy.open()
    try:
        yield proxy
    finally:
        proxy.cut()
        proxy.silence()
        proxy._flows.set()
