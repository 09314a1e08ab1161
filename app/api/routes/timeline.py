"""Count what was found over the time of a scenario's video."""

from functools import partial
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from msgspec import Meta, Struct, json

from ...predictions.timeline import BUCKET_SECONDS
from .. import examples
from ..frame_range import FOOTAGE_GONE, locate_frames
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_REQUEST, GONE, NOT_FOUND, ProblemError, no_scenario
from ..http.requests import ApiRequest
from ..http.responses import JsonResponse
from ..queries.scenarios import find_row
from ..queries.timeline import Timeline, TimelineWish, TooMuchError, read_timeline
from ..video_times import Time, check_times, to_seconds
from .completed import cached_once_final

_AT = "in seconds; of a live source also as RFC 3339, such as 2026-01-31T09:30:00Z"
_MULTIPLE = f"`bucket` must be less than {BUCKET_SECONDS} seconds, or a multiple of {BUCKET_SECONDS}."


class TimelineQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /scenarios/{id}/timeline."""

    bucket: Annotated[
        Annotated[float, Meta(ge=0.1, le=31_536_000)] | None,
        Meta(
            description=f"seconds of a bucket: less than {BUCKET_SECONDS}, or a multiple of {BUCKET_SECONDS};"
            " without it, one that fits the range"
        ),
    ] = None
    from_time: Annotated[Time | None, Meta(description=f"the first time, {_AT}")] = None
    to_time: Annotated[Time | None, Meta(description=f"the time that ends the range, exclusive, {_AT}")] = (
        None
    )
    label: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1000)] | None, Meta(description="only this label")
    ] = None


@get(
    "/scenarios/{scenario_id:uuid}/timeline",
    doc=OperationDoc(
        id="getTimeline",
        tag="results",
        summary="Count what was found, over time",
        description=(
            "For each label and bucket of time: frames in which it was found, detections, and the best"
            " confidence; `all` also has the frames that could not be analysed. A bucket begins at a multiple"
            " of its length. Buckets of at least 15 seconds are counted while predictions are stored, so an"
            " answer takes milliseconds; at the two ends of a range, they count 15 seconds as a whole."
            " Shorter buckets are counted when asked for, exactly from the first to the last frame of the"
            " range."
        ),
        query=TimelineQuery,
        responses={200: ResponseDoc("The timeline.", Timeline, examples.TIMELINE)},
        problems={
            BAD_REQUEST: _MULTIPLE,
            NOT_FOUND: examples.NO_SCENARIO,
            GONE: FOOTAGE_GONE,
        },
    ),
)
async def get_timeline(request: ApiRequest, scenario_id: FromPath[UUID]) -> JsonResponse:
    """Return the counts. Raises ProblemError: 404: no such scenario, 400: too many buckets or counts."""
    return await cached_once_final(
        request, scenario_id, b"timeline", partial(_timeline, request, scenario_id)
    )


async def _timeline(request: ApiRequest, scenario_id: UUID) -> tuple[bytes, bool]:
    """Return the timeline as JSON, and whether it is final."""
    query = request.parameters(TimelineQuery)
    bucket = query.bucket
    if bucket is not None and bucket >= BUCKET_SECONDS and bucket % BUCKET_SECONDS:
        raise ProblemError(BAD_REQUEST, _MULTIPLE, field="bucket")
    deps = request.deps
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    stored = await locate_frames(deps, row)
    check_times(row, is_dated=stored.is_dated, from_time=query.from_time, to_time=query.to_time)
    wish = TimelineWish(
        bucket=bucket,
        from_time=to_seconds(query.from_time),
        to_time=to_seconds(query.to_time),
        from_frame=stored.first,
        to_frame=stored.end,
        label=query.label,
    )
    try:
        timeline = await read_timeline(deps.predictions, stored.scenario_id, wish)
    except TooMuchError as error:
        raise ProblemError(BAD_REQUEST, str(error)) from None
    # That of another scenario can be deleted with it, or become too old.
    is_final = row["outcome"] == "completed" and stored.scenario_id == scenario_id and timeline.is_complete
    return json.encode(timeline), is_final
