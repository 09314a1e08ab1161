"""Read the predictions of all scenarios of a batch."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get
from msgspec import Meta, Struct

from .. import examples
from ..http.cursors import make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_CURSOR, NOT_FOUND, no_batch
from ..http.requests import ApiRequest
from ..http.responses import JsonResponse
from ..queries.batches import BatchPosition, batch_exists, list_scenarios_of
from ..queries.predictions import (
    MAX_FRAME,
    MAX_PAGE,
    BatchPredictionPage,
    PredictionFilter,
    PredictionsOfScenario,
    list_predictions,
)
from .predictions import WantedConfidence, WantedLabel

MOST_SCENARIOS = 100
"""Scenarios that one page looks into, so that a filter that few frames fit is answered soon."""


class BatchPredictionQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /predictions."""

    batch: Annotated[UUID, Meta(description="the batch")]
    label: WantedLabel = None
    min_confidence: WantedConfidence = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of frames in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None


class FramePosition(Struct, frozen=True, array_like=True):
    """The first frame of the next page."""

    created_at: Annotated[datetime, Meta(tz=True)]
    scenario_id: UUID
    frame: Annotated[int, Meta(ge=0, le=MAX_FRAME)]


@get(
    "/predictions",
    doc=OperationDoc(
        id="listBatchPredictions",
        tag="results",
        summary="Read the predictions of a batch",
        description=(
            f"Scenario by scenario, each by frame. A page ends early, with `next_cursor` set, after"
            f" {MOST_SCENARIOS} scenarios or near 50,000 detections. What a scenario stores after a page has"
            " passed it is not returned: read a batch when its scenarios have ended."
        ),
        query=BatchPredictionQuery,
        responses={
            200: ResponseDoc("A page of predictions.", BatchPredictionPage, examples.BATCH_PREDICTION_PAGE)
        },
        problems={
            BAD_CURSOR: "Send `cursor` exactly as `next_cursor` returned it, with the same filters.",
            NOT_FOUND: examples.NO_BATCH,
        },
    ),
)
async def get_batch_predictions(request: ApiRequest) -> JsonResponse:
    """Return a page. Raises ProblemError (404) if there is no such batch."""
    query = request.parameters(BatchPredictionQuery)
    bound = ("predictions", query.batch, query.label, query.min_confidence)
    after = None if query.cursor is None else read_cursor(query.cursor, bound, FramePosition)
    if not await batch_exists(request.deps.scenarios, query.batch):
        raise no_batch(query.batch)
    items, more = await _page(request, query, after)
    page = BatchPredictionPage(items, None if more is None else make_cursor(more, bound))
    return JsonResponse(msgspec.json.encode(page))


async def _page(
    request: ApiRequest, query: BatchPredictionQuery, after: FramePosition | None
) -> tuple[list[PredictionsOfScenario], FramePosition | None]:
    """Return the page, and the position of the next one, if there may be one."""
    deps = request.deps
    start = None if after is None else BatchPosition(after.created_at, after.scenario_id)
    positions = await list_scenarios_of(deps.scenarios, query.batch, start, MOST_SCENARIOS + 1)
    items: list[PredictionsOfScenario] = []
    room, space = query.limit, MAX_PAGE
    for number, position in enumerate(positions):
        if number == MOST_SCENARIOS or not room or space <= 0:
            return items, FramePosition(position.created_at, position.id, 0)
        is_first = after is not None and position.id == after.scenario_id
        wanted = PredictionFilter(
            from_frame=after.frame if after is not None and is_first else 0,
            label=query.label,
            min_confidence=query.min_confidence,
        )
        found, more = await list_predictions(deps.predictions, position.id, wanted, room)
        if found:
            items.append(PredictionsOfScenario(position.id, found))
            room -= len(found)
            space -= len(msgspec.json.encode(found))
        if more is not None:
            return items, FramePosition(position.created_at, position.id, more)
    return items, None
