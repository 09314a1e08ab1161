"""See the frames of a scenario: stored ones of a recording, and the newest one of a live source."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from asyncpg import Record
from litestar import Response, get
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Meta, Struct

from ...domain.source import SourceError, parse_source
from ...scenarios.json_columns import decode_media
from .. import examples
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    BAD_REQUEST,
    NO_PICTURE,
    NOT_FOUND,
    TOO_MANY_STREAMS,
    UNAVAILABLE,
    ProblemError,
    no_scenario,
)
from ..http.requests import ApiRequest
from ..live_frames import follow, live_frame
from ..queries.footage import asked_scenario
from ..queries.predictions import MAX_FRAME
from ..queries.scenarios import find_row
from ..queries.stored_frames import FoundFrame, find_frame_after, find_frame_before
from ..recorded_pictures import PictureOptions, Width, recorded_picture, spec_of

_Frame = Annotated[int, Meta(ge=0, le=MAX_FRAME)]
_Seconds = Annotated[float, Meta(ge=0, le=1e10)]
_MOST_STREAMS = 50
"""Streams of live pictures that a process serves at once."""


class FrameQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of GET /scenarios/{id}/frame.jpg."""

    frame: Annotated[_Frame | None, Meta(description="of a recording: the frame, which must be stored")] = (
        None
    )
    time: Annotated[
        _Seconds | None,
        Meta(description="instead of `frame`: the stored frame at this time or last before it, in seconds"),
    ] = None
    after: Annotated[
        _Frame | None,
        Meta(description="of a live source: wait up to 10 seconds for a picture of a later frame"),
    ] = None
    annotated: Annotated[
        bool, Meta(description="draw boxes, labels and track ids, and the scenario's zones and lines")
    ] = False
    width: Annotated[
        Width | None,
        Meta(description="of the picture in pixels, which is never enlarged; at most 1920 if it is left out"),
    ] = None

    @property
    def options(self) -> PictureOptions:
        """How the picture is shown."""
        return PictureOptions(self.annotated, self.width)


class LiveQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of GET /scenarios/{id}/live.mjpeg."""

    annotated: Annotated[
        bool, Meta(description="draw boxes, labels and track ids, and the scenario's zones and lines")
    ] = False
    width: Annotated[Width | None, Meta(description="of the pictures in pixels; they have at most 640")] = (
        None
    )


@get(
    "/scenarios/{scenario_id:uuid}/frame.jpg",
    doc=OperationDoc(
        id="getFrame",
        tag="results",
        summary="See a frame",
        description=(
            "Of a recording, the picture of a stored frame, upright, as a JPEG: exactly this frame, or an"
            " error that says why it cannot be shown. Without `frame` and `time` it is the last one that is"
            " stored. It is decoded from the recording, which must still be the same file. `ETag` allows"
            " conditional requests. Of a live source that runs, it is the newest sampled frame, at most 640"
            " pixels wide and high. `Frame-Number` and `Frame-Time` tell which frame is shown. With `after`,"
            " the answer is 204 if no later frame came within 10 seconds."
        ),
        query=FrameQuery,
        responses={
            200: ResponseDoc(
                "The picture.",
                alternatives=("image/jpeg",),
                headers={"Frame-Number": "the frame", "Frame-Time": "its time in seconds, as in predictions"},
            ),
            204: ResponseDoc("No later frame came in time."),
            304: ResponseDoc("`If-None-Match` names this picture."),
        },
        problems={
            BAD_REQUEST: "Give one of `frame`, `time` and `after`.",
            NOT_FOUND: "Frame 7 is not stored; the nearest ones are 0 and 15.",
            NO_PICTURE: "Frame 7 has no picture: the frame could not be decoded.",
            UNAVAILABLE: "Frame 7 was not found and decoded within 6 seconds.",
        },
    ),
)
async def get_frame(request: ApiRequest, scenario_id: FromPath[UUID]) -> Response[bytes]:
    """Return the picture of a frame. Raises ProblemError (400, 404, 409, 503)."""
    query = request.parameters(FrameQuery)
    if sum(each is not None for each in (query.frame, query.time, query.after)) > 1:
        raise ProblemError(BAD_REQUEST, "Give one of `frame`, `time` and `after`.")
    row = await _find(request, scenario_id)
    shown, rules = row, None
    if (asked := asked_scenario(row)) is not None:
        rules = spec_of(row).rules
        shown = await _find_asked(request, asked)
    # A live source whose media are known needs no query: many clients may look at it.
    found = None if _has_live_media(shown) else await _found(request, shown["id"], query)
    if _is_live(shown, found):
        if query.frame is not None or query.time is not None:
            detail = "The source is live: only its newest frame can be shown. Leave out `frame` and `time`."
            raise ProblemError(NO_PICTURE, detail)
        return await live_frame(request, shown, query.options, rules, after=query.after)
    if query.after is not None:
        detail = "`after` is for live sources: the source is a recording. Give `frame` or `time`."
        raise ProblemError(BAD_REQUEST, detail, field="after")
    if found is None:
        raise ProblemError(NOT_FOUND, "No frame of this scenario is stored yet. Repeat the request later.")
    frame = found.prediction.frame
    if query.frame is not None and frame != query.frame:
        following = await find_frame_after(request.deps.predictions, shown["id"], query.frame)
        nearest = sorted({frame, frame if following is None else following})
        names = " and ".join(map(str, nearest))
        which = f"the nearest ones are {names}" if len(nearest) > 1 else f"the nearest one is {names}"
        raise ProblemError(NOT_FOUND, f"Frame {query.frame} is not stored; {which}.", field="frame")
    return await recorded_picture(request, shown, found, query.options, rules)


@get(
    "/scenarios/{scenario_id:uuid}/live.mjpeg",
    doc=OperationDoc(
        id="streamPictures",
        tag="results",
        summary="Watch a live source",
        description=(
            "The newest sampled frames of a live source that runs, up to two a second, as motion JPEG: for"
            " `<img>`, VLC, FFmpeg and dashboards. It ends when the scenario stops."
        ),
        query=LiveQuery,
        responses={200: ResponseDoc("The pictures.", alternatives=("multipart/x-mixed-replace",))},
        problems={
            NOT_FOUND: examples.NO_SCENARIO,
            NO_PICTURE: "The source is a recording: GET /scenarios/{id}/frame.jpg shows its frames.",
            TOO_MANY_STREAMS: "At most 50 streams of pictures may be open in a process. Close one.",
        },
    ),
)
async def stream_pictures(request: ApiRequest, scenario_id: FromPath[UUID]) -> Stream:
    """Return the stream. Raises ProblemError (400, 404, 409, 503)."""
    query = request.parameters(LiveQuery)
    row = await _find(request, scenario_id)
    found = None if _has_live_media(row) else await _found(request, scenario_id, FrameQuery())
    if asked_scenario(row) is not None or not _is_live(row, found):
        detail = "The source is a recording: GET /scenarios/{id}/frame.jpg shows its frames."
        raise ProblemError(NO_PICTURE, detail)
    options = PictureOptions(query.annotated, query.width)
    if request.live_pictures.streams >= _MOST_STREAMS:
        detail = f"At most {_MOST_STREAMS} streams of pictures may be open in a process. Close one, or wait."
        raise ProblemError(TOO_MANY_STREAMS, detail, headers={"Retry-After": "2"})
    first = await live_frame(request, row, options, None)  # says why there is none
    pictures = follow(request, row, options, first)
    return Stream(_counted(request, pictures), media_type="multipart/x-mixed-replace; boundary=frame")


async def _counted(request: ApiRequest, pictures: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    live = request.live_pictures
    live.streams += 1
    try:
        yield b"--frame\r\n"
        async for jpeg in pictures:
            head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
            yield head + jpeg + b"\r\n--frame\r\n"  # a browser shows a picture when the next one begins
    finally:
        live.streams -= 1


async def _find(request: ApiRequest, scenario_id: UUID) -> Record:
    row = await find_row(request.deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    return row


async def _find_asked(request: ApiRequest, scenario_id: UUID) -> Record:
    row = await find_row(request.deps.scenarios, scenario_id)
    if row is None:
        detail = f"The scenario {scenario_id}, whose footage this one asks, was deleted."
        raise ProblemError(NO_PICTURE, detail)
    return row


async def _found(request: ApiRequest, scenario_id: UUID, query: FrameQuery) -> FoundFrame | None:
    frame = MAX_FRAME if query.frame is None else query.frame
    return await find_frame_before(request.deps.predictions, scenario_id, frame=frame, time=query.time)


def _has_live_media(row: Record) -> bool:
    media = decode_media(row["media"])
    return media is not None and media.live


def _is_live(row: Record, found: FoundFrame | None) -> bool:
    """Return whether the source is live, as far as it is known before it is opened."""
    if _has_live_media(row) or (found is not None and found.is_live):
        return True
    try:
        return found is None and row["media"] is None and parse_source(spec_of(row).source).live is True
    except SourceError:
        return False
