"""See the picture of an event."""

from uuid import UUID

from litestar import Response, get
from litestar.params import FromPath

from ...predictions.evidence import CLEARLY_BETTER, KINDS
from ..http.conditions import is_not_modified
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import NOT_FOUND, ProblemError, no_scenario
from ..http.requests import ApiRequest
from ..queries.evidence import PicturedEvent, find_pictured_event, read_picture
from ..queries.scenarios import find_row

MAX_EVENT_ID = 2**63 - 1


@get(
    "/scenarios/{scenario_id:uuid}/events/{event_id:int}/picture.jpg",
    doc=OperationDoc(
        id="getEventPicture",
        tag="results",
        summary="See the picture of an event of a live source",
        description=(
            "A live source keeps a picture of each event of the kinds `object` and `alert`: a JPEG of the"
            " whole frame, at most 1280 pixels wide and high, without boxes. `picture` of the event says"
            " which frame it is, and where in it the object. While an object is visible, its picture is"
            f" replaced when one is {CLEARLY_BETTER:g} times as good. `ETag` allows conditional requests."
        ),
        responses={
            200: ResponseDoc("The picture.", alternative="image/jpeg"),
            304: ResponseDoc("`If-None-Match` names this picture."),
        },
        problems={NOT_FOUND: "This event has no picture yet. Repeat the request in a moment."},
    ),
)
async def get_event_picture(
    request: ApiRequest, scenario_id: FromPath[UUID], event_id: FromPath[int]
) -> Response[bytes]:
    """Return the stored picture. Raises ProblemError (404)."""
    deps = request.deps
    if await find_row(deps.scenarios, scenario_id) is None:
        raise no_scenario(scenario_id)
    event = None
    if 1 <= event_id <= MAX_EVENT_ID:
        event = await find_pictured_event(deps.predictions, scenario_id, event_id)
    if event is None:
        detail = (
            f"The scenario has no event {event_id}, or it is too old and was removed."
            f" GET /scenarios/{scenario_id}/events lists those that exist."
        )
        raise ProblemError(NOT_FOUND, detail)
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


def _no_picture(event: PicturedEvent) -> ProblemError:
    if not event.is_live:
        detail = (
            "Pictures of events are kept of live sources only. This scenario's source is a recording, or what"
            " another scenario has stored."
        )
    elif event.kind not in KINDS:
        kinds = " and ".join(f"`{kind}`" for kind in sorted(KINDS, reverse=True))
        detail = (
            f"Pictures are kept of events of the kinds {kinds}, and this one is of the kind `{event.kind}`."
        )
    elif event.state == "open" and event.frame is None:
        detail = "This event has no picture yet. Repeat the request in a moment."
    else:
        detail = (
            "The picture of this event is not kept any more, or none was taken: the oldest are removed if all"
            " have more than VA_EVIDENCE_MAX_GB, which also turns pictures off (0)."
        )
    return ProblemError(NOT_FOUND, detail)
