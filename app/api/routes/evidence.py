"""See the picture of an event."""

from uuid import UUID

from asyncpg import Record
from litestar import Response, get
from litestar.params import FromPath

from ...predictions.evidence import CLEARLY_BETTER, KINDS
from ..frame_range import FOOTAGE_GONE, locate_frames
from ..http.conditions import is_not_modified
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import GONE, NO_PICTURE, NOT_FOUND, UNAVAILABLE, ProblemError, no_event, no_scenario
from ..http.requests import ApiRequest
from ..queries.events import MAX_EVENT_ID
from ..queries.evidence import PicturedEvent, find_pictured_event, read_picture
from ..queries.scenarios import find_row
from ..queries.stored_frames import find_frame_before
from ..recorded_pictures import PictureOptions, recorded_picture

MAX_WIDTH = 1280
"""Pixels of a picture from a recording: as wide as one that a live source has stored."""


@get(
    "/scenarios/{scenario_id:uuid}/events/{event_id:int}/picture.jpg",
    doc=OperationDoc(
        id="getEventPicture",
        tag="results",
        summary="See the picture of an event",
        description=(
            "A JPEG of the whole frame, at most 1280 pixels wide, without boxes; `picture` of the event says"
            " which frame it is, and where in it the object. Of a recording it is the best frame, which is"
            " decoded from the file. A live source keeps a picture of each event of the kinds `object` and"
            " `alert`; while an object is visible, it is replaced when one is"
            f" {CLEARLY_BETTER:g} times as good. `ETag` allows conditional requests."
        ),
        responses={
            200: ResponseDoc("The picture.", alternative="image/jpeg"),
            304: ResponseDoc("`If-None-Match` names this picture."),
        },
        problems={
            NOT_FOUND: "This event has no picture yet. Repeat the request in a moment.",
            GONE: FOOTAGE_GONE,
            NO_PICTURE: "Frame 7 has no picture: the frame could not be decoded.",
            UNAVAILABLE: "Frame 7 was not found and decoded within 5 seconds.",
        },
    ),
)
async def get_event_picture(
    request: ApiRequest, scenario_id: FromPath[UUID], event_id: FromPath[int]
) -> Response[bytes]:
    """Return the stored picture, or that in the recording. Raises ProblemError (404, 409, 410, 503)."""
    deps = request.deps
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    event = None
    if 1 <= event_id <= MAX_EVENT_ID:
        event = await find_pictured_event(deps.predictions, scenario_id, event_id)
    if event is None:
        raise no_event(scenario_id, event_id)
    if not event.is_live:
        return await _in_recording(request, row, event.best_frame)
    if event.frame is None:
        raise _no_picture(event)
    if is_not_modified(request, _entity_tag(event.frame)):
        return Response(b"", status_code=304, headers=_headers(event.frame), media_type="image/jpeg")
    found = await read_picture(deps.predictions, scenario_id, event_id)
    if found is None:
        raise _no_picture(event)
    frame, jpeg = found
    return Response(jpeg, headers=_headers(frame), media_type="image/jpeg")


def _entity_tag(frame: int) -> str:
    return f'"frame-{frame}"'


def _headers(frame: int) -> dict[str, str]:
    """Return headers that let a client keep the picture, and ask each time whether it is still the one."""
    return {"ETag": _entity_tag(frame), "Cache-Control": "private, no-cache"}


async def _in_recording(request: ApiRequest, row: Record, frame: int) -> Response[bytes]:
    """Return a frame of a recording, or of the recording of the scenario whose footage is asked."""
    deps = request.deps
    located = await locate_frames(deps, row)
    source = row if located.scenario_id == row["id"] else await find_row(deps.scenarios, located.scenario_id)
    if source is None:
        raise ProblemError(GONE, FOOTAGE_GONE)
    found = await find_frame_before(deps.predictions, located.scenario_id, frame=frame)
    if found is None or found.prediction.frame != frame:
        raise ProblemError(NOT_FOUND, f"Frame {frame}, which shows this event best, is not stored any more.")
    if found.is_live:
        detail = (
            "The footage is a live source's, which keeps pictures of its own events only: GET"
            f" /scenarios/{located.scenario_id}/events has them."
        )
        raise ProblemError(NOT_FOUND, detail)
    return await recorded_picture(request, source, found, PictureOptions(width=MAX_WIDTH))


def _no_picture(event: PicturedEvent) -> ProblemError:
    if event.kind not in KINDS:
        kinds = " and ".join(f"`{kind}`" for kind in sorted(KINDS, reverse=True))
        detail = (
            f"Live sources keep pictures of the kinds {kinds}, and this event is of the kind `{event.kind}`."
        )
    elif event.state == "open" and event.frame is None:
        detail = "This event has no picture yet. Repeat the request in a moment."
    else:
        detail = (
            "The picture of this event is not kept any more, or none was taken: the oldest are removed if all"
            " have more than VA_EVIDENCE_MAX_GB, which also turns pictures off (0)."
        )
    return ProblemError(NOT_FOUND, detail)
