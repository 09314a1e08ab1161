"""Send the recording of a scenario, as players ask for it."""

from functools import partial
from uuid import UUID

from anyio import to_thread
from asyncpg import Record
from litestar import get
from litestar.params import FromPath

from ...domain.source import SourceError, parse_source
from .. import examples
from ..http.conditions import is_not_modified
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import NO_PICTURE, NOT_FOUND, NOT_SATISFIABLE, ProblemError, no_scenario
from ..http.ranges import (
    ByteRange,
    UnsatisfiableRangeError,
    is_range_current,
    is_unchanged_since,
    parse_range,
)
from ..http.requests import ApiRequest
from ..queries.footage import asked_scenario
from ..queries.scenarios import find_row
from ..queries.stored_frames import find_pins
from ..recorded_pictures import NO_MEDIA, spec_of
from ..video_files import FileResponse, MissingVideoError, VideoFile, VideoFileError, open_video_file


@get(
    "/scenarios/{scenario_id:uuid}/video",
    doc=OperationDoc(
        id="getVideo",
        tag="results",
        summary="Play the recording of a scenario",
        description=(
            "The file that was analysed, as it is, for `<video>` and for downloads, with range and"
            " conditional requests. It must still be the same file. Whether a browser can play it depends on"
            " the browser."
        ),
        responses={
            200: ResponseDoc("The file.", alternatives=("video/*",)),
            206: ResponseDoc("A part of it.", alternatives=("video/*",)),
            304: ResponseDoc("The client has the file."),
        },
        problems={
            NOT_FOUND: examples.NO_SCENARIO,
            NO_PICTURE: "The source is no file below the media root: it is not sent from here.",
            NOT_SATISFIABLE: "The recording has 1,234 bytes. Ask for a range within them.",
        },
    ),
)
async def get_video(request: ApiRequest, scenario_id: FromPath[UUID]) -> FileResponse:
    """Return the recording or a part of it. Raises ProblemError (404, 409, 416)."""
    row = await find_row(request.deps.scenarios, scenario_id)
    if row is not None and (asked := asked_scenario(row)) is not None:
        row = await find_row(request.deps.scenarios, asked)
    if row is None:
        raise no_scenario(scenario_id)
    video = await _open(request, row)
    headers, tag = video.headers, video.entity_tag
    given = request.headers
    has_tags = "if-none-match" in given
    is_known = (
        is_not_modified(request, tag)
        if has_tags
        else is_unchanged_since(given.get("if-modified-since"), video.modified)
    )
    if is_known:
        return FileResponse(video, 304, headers)
    try:
        wanted = None
        if is_range_current(given.get("if-range"), tag, video.modified):
            wanted = parse_range(given.get("range"), video.size)
    except UnsatisfiableRangeError as error:
        video.file.close()
        detail = f"The recording has {video.size:,} bytes. Ask for a range within them."
        head = {"Content-Range": f"bytes */{video.size}"}
        raise ProblemError(NOT_SATISFIABLE, detail, headers=head) from error
    status = 200
    if wanted is not None:
        status = 206
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.end - 1}/{video.size}"
    return FileResponse(video, status, headers, wanted or ByteRange(0, video.size))


async def _open(request: ApiRequest, row: Record) -> VideoFile:
    try:
        source = parse_source(spec_of(row).source)
    except SourceError as error:
        raise ProblemError(NO_PICTURE, f"The source is not accepted any more: {error}.") from error
    if source.kind != "file":
        detail = "The source is no file below the media root: it is not sent from here."
        raise ProblemError(NO_PICTURE, detail)
    pins = await find_pins(request.deps.predictions, row["id"])
    if pins is None or pins.file is None:
        detail = (
            "It is not known which file was analysed: no frame is stored yet, or release 0.1.0 stored them."
            " Repeat the request later, or analyse the recording in a new scenario."
        )
        raise ProblemError(NO_PICTURE, detail)
    try:
        return await to_thread.run_sync(
            partial(open_video_file, source, request.options.media_root, pins.file)
        )
    except MissingVideoError as error:
        text = str(error)
        raise ProblemError(NOT_FOUND, f"{text[:1].upper()}{text[1:]}. {NO_MEDIA}") from error
    except VideoFileError as error:
        raise ProblemError(NO_PICTURE, f"The recording cannot be sent: {error}.") from error
