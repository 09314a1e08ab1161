"""A TCP link between client and server that breaks off in the middle of answers if told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Link:
    """Forwards connections on `port` to a server. `cut_after`: bytes of answers, over all connections."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._tasks: set[asyncio.Task[None]] = set()
        self.cut_after: int | None = None
        self.cuts = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.close()
            return
        there = asyncio.create_task(self._pump(reader, far_writer, is_answer=False))
        back = asyncio.create_task(self._pump(far_reader, writer, is_answer=True))
        self._tasks |= {there, back}
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for task, end in ((there, far_writer), (back, writer)):
            task.cancel()
            self._tasks.discard(task)
            end.close()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if is_answer and self.cut_after is not None:
                    data = data[: self.cut_after]
                    self.cut_after -= len(data)
                writer.write(data)
                await writer.drain()
                if is_answer and self.cut_after == 0:
                    self.cut_after = None
                    self.cuts += 1
                    return


@asynccontextmanager
async def linked(server_port: int) -> AsyncIterator[Link]:
    """A link that is there during the block."""
    link = Link(server_port)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
