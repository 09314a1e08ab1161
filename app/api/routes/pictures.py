"""See the frames of a scenario."""

from typing import Annotated
from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath
from msgspec import Meta, Struct

from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    BAD_REQUEST,
    NO_PICTURE,
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
    no_scenario,
)
from ..http.requests import ApiRequest
from ..queries.predictions import MAX_FRAME
from ..queries.scenarios import find_row
from ..queries.stored_frames import find_frame_after, find_frame_before
from ..recorded_pictures import PictureOptions, Width, recorded_picture

_Frame = Annotated[int, Meta(ge=0, le=MAX_FRAME)]
_Seconds = Annotated[float, Meta(ge=0, le=1e10)]


class FrameQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of GET /scenarios/{id}/frame.jpg."""

    frame: Annotated[_Frame | None, Meta(description="the frame; it must be stored")] = None
    time: Annotated[
        _Seconds | None,
        Meta(description="instead of `frame`: the stored frame at this time or last before it, in seconds"),
    ] = None
    annotated: Annotated[
        bool, Meta(description="draw boxes, labels and track ids, and the scenario's zones and lines")
    ] = False
    width: Annotated[
        Width | None,
        Meta(description="of the picture in pixels, which is never enlarged; at most 1920 if it is left out"),
    ] = None


@get(
    "/scenarios/{scenario_id:uuid}/frame.jpg",
    doc=OperationDoc(
        id="getFrame",
        tag="results",
        summary="See a frame of a recording",
        description=(
            "The picture of a stored frame, upright, as a JPEG: exactly this frame, or an error that says why"
            " it cannot be shown. Without `frame` and `time` it is the last one that is stored. It is decoded"
            " from the recording, which must still be the same file. `ETag` allows conditional requests."
        ),
        query=FrameQuery,
        responses={
            200: ResponseDoc("The picture.", alternative="image/jpeg"),
            304: ResponseDoc("`If-None-Match` names this picture."),
        },
        problems={
            BAD_REQUEST: "Give `frame` or `time`, not both.",
            NOT_FOUND: "Frame 7 is not stored; the nearest ones are 0 and 15.",
            NO_PICTURE: "Frame 7 has no picture: the frame could not be decoded.",
            UNAVAILABLE: "Frame 7 was not found and decoded within 5 seconds.",
        },
    ),
)
async def get_frame(request: ApiRequest, scenario_id: FromPath[UUID]) -> Response[bytes]:
    """Return the picture of a stored frame. Raises ProblemError (400, 404, 409, 503)."""
    query = request.parameters(FrameQuery)
    if query.frame is not None and query.time is not None:
        raise ProblemError(BAD_REQUEST, "Give `frame` or `time`, not both.", field="time")
    deps = request.deps
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    wanted = MAX_FRAME if query.frame is None else query.frame
    found = await find_frame_before(deps.predictions, scenario_id, frame=wanted, time=query.time)
    if found is None:
        raise ProblemError(NOT_FOUND, "No frame of this scenario is stored yet. Repeat the request later.")
    if found.is_live:
        raise ProblemError(NO_PICTURE, "The source is live: its frames are not kept.")
    frame = found.prediction.frame
    if query.frame is not None and frame != query.frame:
        following = await find_frame_after(deps.predictions, scenario_id, query.frame)
        nearest = sorted({frame, frame if following is None else following})
        names = " and ".join(map(str, nearest))
        which = f"the nearest ones are {names}" if len(nearest) > 1 else f"the nearest one is {names}"
        raise ProblemError(NOT_FOUND, f"Frame {query.frame} is not stored; {which}.", field="frame")
    return await recorded_picture(request, row, found, PictureOptions(query.annotated, query.width))
