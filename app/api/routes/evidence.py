"""See the picture of an event."""

from functools import partial
from typing import Annotated
from uuid import UUID

from asyncpg import Record
from litestar import Response, get
from litestar.params import FromPath
from msgspec import Meta, Struct
from msgspec.structs import replace

from ...concurrency.threads import in_daemon_thread
from ...domain.analysis import AnalysisRules
from ...domain.prediction import Detection
from ...predictions.evidence import CLEARLY_BETTER, KINDS
from ...video.drawing import Overlay, draw_on_jpeg
from ..frame_range import FOOTAGE_GONE, locate_frames
from ..http.conditions import is_not_modified
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    BAD_REQUEST,
    GONE,
    NO_PICTURE,
    NOT_FOUND,
    UNAVAILABLE,
    ProblemError,
    no_event,
    no_scenario,
)
from ..http.requests import ApiRequest
from ..queries.events import MAX_EVENT_ID
from ..queries.evidence import PicturedEvent, find_pictured_event, read_picture
from ..queries.scenarios import find_row
from ..queries.stored_frames import find_frame_before
from ..recorded_pictures import PictureOptions, Width, recorded_picture, spec_of

DEFAULT_WIDTH = 1280
"""Pixels of a picture from a recording: as wide as one that a live source has stored."""


class EventPictureQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parameters of GET /scenarios/{id}/events/{n}/picture.jpg."""

    annotated: Annotated[
        bool,
        Meta(description="draw the box and the label of the event, and the zone or line that it is about"),
    ] = False
    width: Annotated[
        Width | None,
        Meta(description="of the picture in pixels, which is never enlarged; at most 1280 if it is left out"),
    ] = None


@get(
    "/scenarios/{scenario_id:uuid}/events/{event_id:int}/picture.jpg",
    doc=OperationDoc(
        id="getEventPicture",
        tag="results",
        summary="See the picture of an event",
        description=(
            "A JPEG of the whole frame, `width` or at most 1280 pixels wide; `picture` of the event says"
            " which frame it is, and where in it the object; `annotated` draws that. Of a recording it is the"
            " best frame, which is decoded from the file. A live source keeps a picture of each event of the"
            " kinds `object` and `alert`; while an object is visible, it is replaced when one is"
            f" {CLEARLY_BETTER:g} times as good. `ETag` allows conditional requests."
        ),
        query=EventPictureQuery,
        responses={
            200: ResponseDoc("The picture.", alternatives=("image/jpeg",)),
            304: ResponseDoc("`If-None-Match` names this picture."),
        },
        problems={
            BAD_REQUEST: "Expected `bool`, got `str` - at `annotated`",
            NOT_FOUND: "This event has no picture yet. Repeat the request in a moment.",
            GONE: FOOTAGE_GONE,
            NO_PICTURE: "Frame 7 has no picture: the frame could not be decoded.",
            UNAVAILABLE: "Frame 7 was not found and decoded within 6 seconds.",
        },
    ),
)
async def get_event_picture(
    request: ApiRequest, scenario_id: FromPath[UUID], event_id: FromPath[int]
) -> Response[bytes]:
    """Return the stored picture, or that in the recording. Raises ProblemError (400, 404, 409, 410, 503)."""
    deps, query = request.deps, request.parameters(EventPictureQuery)
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    event = None
    if 1 <= event_id <= MAX_EVENT_ID:
        event = await find_pictured_event(deps.predictions, scenario_id, event_id)
    if event is None:
        raise no_event(scenario_id, event_id)
    if not event.is_live:
        return await _in_recording(request, row, event, query)
    if event.frame is None:
        raise _no_picture(event)
    if is_not_modified(request, _entity_tag(event.frame, query)):
        return Response(b"", status_code=304, headers=_headers(event.frame, query), media_type="image/jpeg")
    found = await read_picture(deps.predictions, scenario_id, event_id)
    if found is None:
        raise _no_picture(event)
    jpeg, overlay = found.jpeg, Overlay()
    if query.annotated:
        shown = Detection(event.label, found.confidence, found.box, event.track_id)
        rules = _rules_of(event, spec_of(row).rules)
        overlay = Overlay((shown,), rules.zones, rules.lines)
    if query.annotated or query.width is not None:
        draw = partial(draw_on_jpeg, jpeg, overlay, found.width, query.width)
        jpeg = await in_daemon_thread("picture", draw)
    return Response(jpeg, headers=_headers(found.frame, query), media_type="image/jpeg")


def _entity_tag(frame: int, query: EventPictureQuery) -> str:
    width = "" if query.width is None else f"-{query.width}"
    return f'"frame-{frame}{"-annotated" if query.annotated else ""}{width}"'


def _headers(frame: int, query: EventPictureQuery) -> dict[str, str]:
    """Return headers that let a client keep the picture, and ask each time whether it is still the one."""
    return {"ETag": _entity_tag(frame, query), "Cache-Control": "private, no-cache"}


def _rules_of(event: PicturedEvent, rules: AnalysisRules) -> AnalysisRules:
    """Return the zone or line that an event is about, that of an alert rule if it is an alert."""
    zone, line = (event.name if event.kind == kind else None for kind in ("zone", "line"))
    if event.kind == "alert":
        rule = next((alert for alert in rules.alerts if alert.name == event.name), None)
        zone, line = (None, None) if rule is None else (rule.zone, rule.line)
    return AnalysisRules(
        zones=tuple(each for each in rules.zones if each.name == zone),
        lines=tuple(each for each in rules.lines if each.name == line),
    )


async def _in_recording(
    request: ApiRequest, row: Record, event: PicturedEvent, query: EventPictureQuery
) -> Response[bytes]:
    """Return a frame of a recording, or of the recording of the scenario whose footage is asked."""
    deps, frame = request.deps, event.best_frame
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
    shown = Detection(event.label, event.best_confidence, event.best_box, event.track_id)
    found = replace(found, prediction=replace(found.prediction, detections=(shown,)))
    options = PictureOptions(query.annotated, query.width or DEFAULT_WIDTH)
    return await recorded_picture(request, source, found, options, _rules_of(event, spec_of(row).rules))


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
