"""A proxy before a database that can cut connections, stall, be slow, and drop answers."""

import asyncio
from asyncio import Queue, StreamReader, StreamWriter, TaskGroup
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

_QUEUED = 64  # pieces in transit; the sender waits with more


class Proxy:
    """Forwards connections on a loopback port to a database's socket. `dsn` leads through it.

    `latency` is the delay in seconds, in each direction.
    """

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        options = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.latency = 0.0
        self._socket = f"{options['host']}/.s.PGSQL.{options['port']}"
        self._parts = parts
        self._writers: set[StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._over = asyncio.Event()
        self._forgotten: set[StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self._loses_answer = False

    @property
    def dsn(self) -> str:
        """The address of the same database through this proxy."""
        where = f"{self._parts.username}@127.0.0.1:{self._port}{self._parts.path}"
        return f"postgresql://{where}?sslmode=disable"

    @property
    def connections(self) -> int:
        """The number of open connections through this proxy."""
        return len(self._writers) // 2

    async def open(self) -> None:
        """Let connections through: at the start, and after `cut` or `silence`."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    def silence(self) -> None:
        """Accept everything and answer nothing, like a network that loses all packets."""
        self._flows.clear()

    def forget(self) -> None:
        """Never answer again on the connections that are open now, like a gateway that was restarted."""
        self._forgotten |= self._writers

    def cut(self) -> None:
        """Close every connection and refuse new ones, like a machine whose database server ended."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    def lose_answer(self) -> None:
        """Close the connection on which the server answers next, instead of passing the answer on."""
        self._loses_answer = True

    def close(self) -> None:
        """Close everything for good."""
        self.cut()
        self._flows.set()
        self._over.set()

    async def _connect(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            upstream_reader, upstream_writer = await asyncio.open_unix_connection(self._socket)
        except OSError:  # the server is not running
            writer.transport.abort()
            return
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
            self._forgotten -= ends

    async def _pump(self, reader: StreamReader, writer: StreamWriter, *, answers: bool = False) -> None:
        way: Queue[tuple[float, bytes]] = Queue(_QUEUED)
        try:
            async with TaskGroup() as tasks:
                tasks.create_task(self._take(reader, way))
                tasks.create_task(self._bring(way, writer, answers=answers))
        except* OSError:
            pass
        await self._flows.wait()
        writer.transport.abort()

    async def _take(self, reader: StreamReader, way: "Queue[tuple[float, bytes]]") -> None:
        data = b"-"
        while data:
            data = await reader.read(65536)
            await way.put((asyncio.get_running_loop().time() + self.latency, data))

    async def _bring(self, way: "Queue[tuple[float, bytes]]", writer: StreamWriter, *, answers: bool) -> None:
        while True:
            due, data = await way.get()
            if (wait := due - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
            await self._flows.wait()
            if writer in self._forgotten:
                await self._over.wait()
            if not data:
                return
            if answers and self._loses_answer:
                self._loses_answer = False
                raise ConnectionAbortedError
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxied(dsn: str) -> AsyncIterator[Proxy]:
    """A proxy before the database of this address."""
    proxy = Proxy(dsn)
    await proxy.open()
    try:
        yield proxy
    finally:
        proxy.close()
