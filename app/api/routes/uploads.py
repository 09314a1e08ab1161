"""Receive recordings into the media folder."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore
from typing import Annotated

import structlog
from anyio import CancelScope, Event, create_task_group, current_time, fail_after, sleep, to_thread
from litestar import put
from litestar.exceptions import InternalServerException
from litestar.params import FromPath
from msgspec import Meta, Struct

from ...domain.media import Media
from ...domain.source import Source
from ...media.uploads import (
    FOLDER,
    NameTakenError,
    NoRoomError,
    UnfinishedFile,
    UploadError,
    UploadLimits,
    name_fault,
    remove_abandoned,
)
from ...video.lookup.processes import PictureProcesses
from ...video.lookup.protocol import TryJob
from .. import examples
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    BAD_REQUEST,
    FORBIDDEN,
    INVALID,
    NAME_TAKEN,
    NO_ROOM,
    TOO_LARGE,
    TOO_SLOW,
    UNSUPPORTED_UPLOAD,
    ProblemError,
    unavailable,
)
from ..http.requests import ApiRequest

AT_ONCE = 4
"""Uploads that a process receives at once."""

_PIECE = 2**20  # bytes that are written at once
_LEAST, _WINDOW = 256 * 1024, 60.0  # bytes that must arrive in so many seconds of waiting
_CHECK_SECONDS = 30.0  # in which the file must give a picture
_CLEAN_EVERY = 3600.0  # seconds
_TYPE = "application/octet-stream"

log = structlog.get_logger(__name__)


class UploadedRecording(Struct, frozen=True):
    """A recording that was uploaded and checked."""

    source: Annotated[str, Meta(description="what POST /scenarios takes as `source`")]
    size: Annotated[int, Meta(description="bytes")]
    media: Annotated[Media | None, Meta(description="what was found of it, as in a scenario")]


@put(
    "/media/uploads/{name:str}",
    status_code=201,
    request_max_body_size=None,  # it is bounded while it is received
    doc=OperationDoc(
        id="uploadRecording",
        tag="media",
        summary="Upload a recording",
        description=(
            "The body is the file itself. It is stored in the folder `uploads` of the media folder once it is"
            " whole and was opened as a video, and never replaces a file. `VA_UPLOADS` says whether this"
            " process takes uploads: by default only if one process does everything (`VA_BUS=memory`)."
        ),
        body_types=(_TYPE,),
        responses={
            201: ResponseDoc(
                "It is stored.",
                UploadedRecording,
                UploadedRecording("./uploads/clip.mp4", 48_211_034, examples.SCENARIO.media),
            )
        },
        problems={
            BAD_REQUEST: "The body did not arrive completely. Send the request again.",
            FORBIDDEN: "This process takes no uploads: set VA_UPLOADS=true, or copy the file.",
            TOO_SLOW: "The body must arrive faster than 256 KiB in 60 seconds. Send the request again.",
            NAME_TAKEN: "There is a file uploads/clip.mp4: give another name.",
            TOO_LARGE: "An upload may have at most 10 GB (VA_UPLOAD_MAX_GB).",
            UNSUPPORTED_UPLOAD: "Send the file itself as the body: curl -T clip.mp4 …",
            INVALID: "The file is not stored: it is not a video.",
            NO_ROOM: "The disk of the media folder has 1.2 GB free, and uploads must leave 1 GB: make room.",
        },
    ),
)
async def upload_recording(request: ApiRequest, name: FromPath[str]) -> UploadedRecording:
    """Store the body as a recording. Raises ProblemError (400, 403, 408, 409, 413, 415, 422, 503, 507)."""
    limits = request.options.uploads
    if limits is None:
        detail = (
            "This process takes no uploads: set VA_UPLOADS=true, or copy the file below VA_MEDIA_ROOT"
            " yourself."
        )
        raise ProblemError(FORBIDDEN, detail)
    if fault := name_fault(name):
        raise ProblemError(INVALID, f"The name of the file is not allowed: {fault}.", field="name")
    length = _announced_length(request, limits)
    slots: BoundedSemaphore = request.app.state.upload_slots
    if not slots.acquire(blocking=False):
        raise unavailable(f"{AT_ONCE} files are being uploaded already. Repeat the request later.")
    try:
        return await _store(request, name, length, limits)
    except NameTakenError as error:
        raise ProblemError(NAME_TAKEN, _sentence(error), field="name") from error
    except NoRoomError as error:
        raise ProblemError(NO_ROOM, _sentence(error)) from error
    except UploadError as error:
        log.warning("an upload cannot be stored", error=str(error))
        raise unavailable(_sentence(error)) from error
    finally:
        slots.release()


async def remove_abandoned_uploads(media_root: Path) -> None:
    """Remove what killed processes have left of uploads, now and every hour."""
    while True:
        removed = await to_thread.run_sync(remove_abandoned, media_root, abandon_on_cancel=True)
        if removed:
            log.info("unfinished uploads were removed", count=removed)
        await sleep(_CLEAN_EVERY)


async def _store(request: ApiRequest, name: str, length: int, limits: UploadLimits) -> UploadedRecording:
    processes = request.picture_processes  # while the service starts, nothing is received
    file = UnfinishedFile(request.options.media_root, name, limits)
    try:
        await to_thread.run_sync(file.create)
        await to_thread.run_sync(file.check_room, length)
        size = await _unless(request.options.shutting_down, partial(_receive, request, file, limits))
        media = await _check(request, processes, file.source)
        await to_thread.run_sync(file.publish)
    finally:
        with CancelScope(shield=True):
            await to_thread.run_sync(file.close)
    return UploadedRecording(f"./{FOLDER}/{name}", size, media)


def _announced_length(request: ApiRequest, limits: UploadLimits) -> int:
    """Return the length that the headers tell, 0 if none. Raises ProblemError if they rule the body out."""
    headers = request.headers
    media_type, _ = request.content_type
    if media_type == "multipart/form-data" or headers.get("content-encoding", "identity") != "identity":
        detail = (
            "Send the file itself as the body, not as a form and not compressed:"
            " curl -T clip.mp4 …/media/uploads/clip.mp4"
        )
        raise ProblemError(UNSUPPORTED_UPLOAD, detail)
    if "content-range" in headers:
        detail = "A part of a file cannot be uploaded. Send the whole file without `Content-Range`."
        raise ProblemError(BAD_REQUEST, detail)
    length = headers.get("content-length", "")
    announced = int(length) if length.isdecimal() else 0
    if announced > limits.max_size:
        raise _too_large(limits)
    return announced


async def _receive(request: ApiRequest, file: UnfinishedFile, limits: UploadLimits) -> int:
    """Write the body to a file, and return its size. Raises ProblemError and UploadError."""
    body = request.stream()
    size, arrived, patience = 0, 0, _WINDOW
    pending = bytearray()
    while True:
        began = current_time()
        try:
            with fail_after(patience):
                part = await anext(body, None)
        except TimeoutError as error:
            detail = "The body must arrive faster than 256 KiB in 60 seconds. Send the request again."
            raise ProblemError(TOO_SLOW, detail) from error
        except InternalServerException as error:  # Litestar's, if the client disconnects
            detail = "The body did not arrive completely. Send the request again."
            raise ProblemError(BAD_REQUEST, detail) from error
        if part is None:
            break
        size, arrived, patience = size + len(part), arrived + len(part), patience - (current_time() - began)
        if arrived >= _LEAST:
            arrived, patience = 0, _WINDOW
        if size > limits.max_size:
            raise _too_large(limits)
        pending += part
        if len(pending) >= _PIECE:
            await to_thread.run_sync(file.write, bytes(pending))
            pending.clear()
    if not size:
        raise ProblemError(INVALID, "The body is empty: send the file as the body.")
    await to_thread.run_sync(file.write, bytes(pending))
    return size


async def _check(request: ApiRequest, processes: PictureProcesses, source: Source) -> Media | None:
    """Open the hidden file as a run would. Raises ProblemError if it is no video."""
    job = TryJob(source, str(request.options.media_root.absolute()), "", 16, _CHECK_SECONDS)
    async with processes.trials:
        result, _ = await processes.show(job)
    if result.fault == "slow":
        raise unavailable(
            f"The file gave no picture within {_CHECK_SECONDS:g} seconds, and is not stored."
            " Repeat the request when the service is less busy."
        )
    if result.fault is not None:
        raise ProblemError(INVALID, f"The file is not stored: {result.text}.")
    return result.media


async def _unless(event: Event, work: Callable[[], Awaitable[int]]) -> int:
    """Return what `work` returns. Raises ProblemError (503) if the event is set before."""
    outcome: int | Exception | None = None

    async def cancel() -> None:
        await event.wait()
        group.cancel_scope.cancel()

    async with create_task_group() as group:
        group.start_soon(cancel)
        try:
            outcome = await work()
        except (ProblemError, UploadError) as error:  # the group would wrap it
            outcome = error
        group.cancel_scope.cancel()
    if isinstance(outcome, Exception):
        raise outcome
    if outcome is None:
        raise unavailable("The service is stopping. Upload the file again when it has started.")
    return outcome


def _too_large(limits: UploadLimits) -> ProblemError:
    detail = (
        f"An upload may have at most {limits.max_gb:g} GB (VA_UPLOAD_MAX_GB). Raise it, or copy the"
        " file below VA_MEDIA_ROOT yourself."
    )
    return ProblemError(TOO_LARGE, detail)


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
