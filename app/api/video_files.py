"""The recording of a scenario, opened once and checked after it was opened."""

import os
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import structlog
from anyio import CancelScope, create_task_group, to_thread
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from ..domain.pins import FileIdentity, PinnedError, Pins, compare
from ..domain.source import Source, SourceError
from ..video.files import find_file
from ..video.identity import identify_open
from .http.ranges import ByteRange

log = structlog.get_logger(__name__)

CHUNK = 256 * 1024  # bytes that are read at once

_TYPES = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".mkv": "video/x-matroska",
    ".webm": "video/webm", ".ts": "video/mp2t", ".mts": "video/mp2t", ".m2ts": "video/mp2t",
    ".avi": "video/x-msvideo", ".mpg": "video/mpeg", ".mpeg": "video/mpeg", ".flv": "video/x-flv",
    ".wmv": "video/x-ms-wmv", ".asf": "video/x-ms-asf", ".ogv": "video/ogg", ".ogg": "video/ogg",
    ".3gp": "video/3gpp", ".dv": "video/dv",
}  # fmt: skip


class VideoFileError(Exception):
    """The recording cannot be sent. The message says why and what to do."""


class MissingVideoError(VideoFileError):
    """There is no such file, or no media root."""


class VideoFile(Struct, frozen=True):
    """An open recording. `modified` is in seconds of Unix time. The holder closes `file`."""

    file: BinaryIO
    size: int
    modified: int
    media_type: str
    entity_tag: str

    @property
    def headers(self) -> dict[str, str]:
        """What each answer about the file has."""
        return {
            "Accept-Ranges": "bytes",
            "ETag": self.entity_tag,
            "Last-Modified": formatdate(self.modified, usegmt=True),
            "Cache-Control": "private, no-cache",
        }


def open_video_file(source: Source, media_root: Path, pinned: FileIdentity) -> VideoFile:
    """Open the file of a source, if it is the recording with this identity. Blocks.

    What is checked is the open file: another one that takes its name afterwards changes nothing.

    Raises:
        MissingVideoError: there is no such file.
        VideoFileError: it is no video by its name, another recording, or cannot be read.
    """
    media_type = _TYPES.get(PurePosixPath(source.address).suffix.lower())
    if media_type is None:
        raise VideoFileError(
            f"{source.redacted} has none of the names of videos that browsers know, such as .mp4 or .webm"
        )
    try:
        path = find_file(source, media_root)
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    except SourceError as error:
        raise MissingVideoError(str(error)) from error
    except OSError as error:
        raise VideoFileError(f"{source.redacted} cannot be opened: {error.strerror}") from error
    try:
        status = os.fstat(file.fileno())
        identity = identify_open(file)
        compare(Pins(pinned), Pins(identity))
        tag = f'"{identity.digest[:32] if identity.digest else ""}-{identity.size:x}"'
        return VideoFile(file, status.st_size, int(status.st_mtime), media_type, tag)
    except PinnedError as error:
        file.close()
        raise VideoFileError(str(error)) from error
    except BaseException:
        file.close()
        raise


class FileResponse:
    """Sends bytes of an open file, and closes it. If the file became shorter, the connection is closed."""

    def __init__(
        self, video: VideoFile, status: int, headers: dict[str, str], part: ByteRange | None = None
    ) -> None:
        """Without a `part` there is no body."""
        self._video = video
        self._status = status
        self._part = part or ByteRange(0, 0)
        self._headers = dict(headers)
        if part is not None:
            self._headers |= {"Content-Type": video.media_type, "Content-Length": str(part.end - part.start)}

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response until the client has it or has gone."""
        try:
            async with create_task_group() as group:
                group.start_soon(self._cancel_when_gone, receive, group.cancel_scope)
                await self._send(send)
                group.cancel_scope.cancel()
        finally:
            with suppress(OSError):
                self._video.file.close()

    async def _send(self, send: Send) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in self._headers.items()]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        at, end = self._part.start, self._part.end
        while at < end:
            part = await to_thread.run_sync(self._read, at, min(CHUNK, end - at))
            if not part:
                log.warning("a recording became shorter while it was sent")
                return  # the server closes the connection, so that the client notices
            at += len(part)
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _cancel_when_gone(self, receive: Receive, scope: CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        scope.cancel()

    def _read(self, start: int, length: int) -> bytes:
        return os.pread(self._video.file.fileno(), length, start)
