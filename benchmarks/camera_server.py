"""An RTSP server for many cameras: packets are made once, and one event loop sends them to all clients."""

import asyncio
import re
from pathlib import Path

from tests.support.rtsp_server import RtspServer

MOST_WAITING = 1 << 20
"""Bytes that may wait for a client to read them. If there are more, it misses pictures, but stays."""


class CameraServer:
    """Sends the pictures of a clip to clients, in `groups` one after the other, from where the clip is."""

    def __init__(self, clip: Path, interval: float, groups: int) -> None:
        self._clip = RtspServer(clip)  # has the packets; it is never started
        self._clip.interval = interval
        self._groups = groups
        self._viewers: list[asyncio.StreamWriter] = []
        self._late: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        """Print the address, and serve until cancelled."""
        server = await asyncio.start_server(self._talk, "127.0.0.1", 0, backlog=1024)
        print(f"rtsp://127.0.0.1:{server.sockets[0].getsockname()[1]}/live", flush=True)
        async with server:
            await self._send()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        began, number, tick = loop.time(), 0, 0
        while True:
            packets = self._clip.packets(tick, number)
            number += len(packets)
            picture = b"".join(packets)
            is_key = any(unit[0] & 31 == 5 for unit in self._clip.frames[tick % len(self._clip.frames)])
            for group in range(self._groups):
                due = began + self._clip.interval * (tick + group / self._groups)
                await asyncio.sleep(max(0.0, due - loop.time()))
                for client in self._viewers[group :: self._groups]:
                    self._give(client, picture, is_key=is_key)
            tick += 1

    def _give(self, client: asyncio.StreamWriter, picture: bytes, *, is_key: bool) -> None:
        """Send a picture. A client that is late goes on with a key frame."""
        if client.transport.get_write_buffer_size() > MOST_WAITING or (client in self._late and not is_key):
            self._late.add(client)
        else:
            self._late.discard(client)
            client.write(picture)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                first = await reader.readexactly(1)
                if first == b"$":  # a report of what the client has received
                    await reader.readexactly(int.from_bytes((await reader.readexactly(3))[1:]))
                    continue
                request = (first + await reader.readuntil(b"\r\n\r\n")).decode()
                method = request.split()[0]
                writer.write(self._answer(method, request))
                if method == "PLAY":
                    self._viewers.append(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client is gone
        finally:
            if writer in self._viewers:
                self._viewers.remove(writer)
            self._late.discard(writer)
            writer.close()

    def _answer(self, method: str, request: str) -> bytes:
        number = re.search(r"^CSeq: *(\d+)", request, re.MULTILINE | re.IGNORECASE)
        headers, body = [f"CSeq: {number[1]}"] if number else [], ""
        match method:
            case "OPTIONS":
                headers.append("Public: OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER")
            case "DESCRIBE":
                headers.append("Content-Type: application/sdp")
                body = self._clip.description
            case "SETUP":
                headers += ["Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1"]
            case _:
                headers.append("Session: 1")
        head = "\r\n".join(["RTSP/1.0 200 OK", *headers, f"Content-Length: {len(body)}"])
        return f"{head}\r\n\r\n{body}".encode()
