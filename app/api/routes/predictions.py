"""Read the predictions of a scenario."""

from functools import partial
from typing import Annotated
from uuid import UUID

from litestar import get
from litestar.params import FromPath
from msgspec import Meta, Struct, json, structs

from .. import examples
from ..frame_range import FOOTAGE_GONE, locate_frames
from ..http.cursors import NumberPosition, make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_CURSOR, GONE, NOT_FOUND, no_scenario
from ..http.requests import ApiRequest
from ..http.responses import JsonResponse
from ..queries.predictions import MAX_FRAME, PredictionFilter, PredictionPage, list_predictions
from ..queries.scenarios import find_row
from ..video_times import Time, check_times, to_seconds
from .completed import cached_once_final

Frame = Annotated[int, Meta(ge=0, le=MAX_FRAME)]
WantedLabel = Annotated[
    Annotated[str, Meta(min_length=1, max_length=1000)] | None,
    Meta(description="only detections with this label, and only frames that have one"),
]
WantedConfidence = Annotated[
    Annotated[float, Meta(ge=0, le=1)] | None,
    Meta(description="only detections with at least this confidence, and only frames that have one"),
]
_AT = "in seconds; of a live source also as RFC 3339, such as 2026-01-31T09:30:00Z"


class PredictionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /scenarios/{id}/predictions."""

    from_frame: Annotated[Frame, Meta(description="the first frame")] = 0
    to_frame: Annotated[Frame | None, Meta(description="the frame after the last")] = None
    from_time: Annotated[Time | None, Meta(description=f"the first time, {_AT}")] = None
    to_time: Annotated[Time | None, Meta(description=f"the time that ends the range, exclusive, {_AT}")] = (
        None
    )
    label: WantedLabel = None
    min_confidence: WantedConfidence = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of items in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None

    def filter(self) -> PredictionFilter:
        """Return the filters alone."""
        return PredictionFilter(
            from_frame=self.from_frame,
            to_frame=MAX_FRAME if self.to_frame is None else self.to_frame,
            from_time=to_seconds(self.from_time),
            to_time=to_seconds(self.to_time),
            label=self.label,
            min_confidence=self.min_confidence,
        )


@get(
    "/scenarios/{scenario_id:uuid}/predictions",
    doc=OperationDoc(
        id="listPredictions",
        tag="results",
        summary="Read predictions, by frame",
        description=(
            "Every sampled frame is returned, with an empty list if nothing was found, unless a label or a"
            " confidence is given. A page ends early, with `next_cursor` set, once it holds near 50,000"
            " detections (fewer if labels are long; those that a filter leaves out count too). Pages stay"
            " right while rows are added: `next_cursor` is null once nothing more is stored. To follow a"
            " scenario that still runs, continue with `from_frame` one past the last frame received.\n\n"
            "Those of a scenario whose source is `scenario:<id>` are the stored predictions that it asks;"
            " there are none until its first run has begun."
        ),
        query=PredictionQuery,
        responses={200: ResponseDoc("A page of predictions.", PredictionPage, examples.PREDICTION_PAGE)},
        problems={
            BAD_CURSOR: "Send `cursor` exactly as `next_cursor` returned it, with the same path and filters.",
            NOT_FOUND: examples.NO_SCENARIO,
            GONE: FOOTAGE_GONE,
        },
    ),
)
async def get_predictions(request: ApiRequest, scenario_id: FromPath[UUID]) -> JsonResponse:
    """Return a page, by frame. Raises ProblemError (404) if there is no such scenario."""
    return await cached_once_final(request, scenario_id, b"predictions", partial(_page, request, scenario_id))


async def _page(request: ApiRequest, scenario_id: UUID) -> tuple[bytes, bool]:
    """Return the page as JSON, and whether it is final."""
    query = request.parameters(PredictionQuery)
    wanted = query.filter()
    bound = ("predictions", scenario_id, wanted)
    if query.cursor is not None:
        start = read_cursor(query.cursor, bound, NumberPosition).value
        wanted = structs.replace(wanted, from_frame=start)
    deps = request.deps
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    stored = await locate_frames(deps, row)
    first, end = max(wanted.from_frame, stored.first), min(wanted.to_frame, stored.end)
    wanted = structs.replace(wanted, from_frame=first, to_frame=end)
    check_times(row, is_dated=stored.is_dated, from_time=query.from_time, to_time=query.to_time)
    items, more = await list_predictions(deps.predictions, stored.scenario_id, wanted, query.limit)
    page = PredictionPage(items, None if more is None else make_cursor(NumberPosition(more), bound))
    # Those of another scenario can be deleted with it, or become too old.
    return json.encode(page), row["outcome"] == "completed" and stored.scenario_id == scenario_id
