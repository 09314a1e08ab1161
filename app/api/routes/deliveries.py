"""Read deliveries, and send dead ones again."""

from typing import Annotated
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath
from msgspec import Meta, Struct

from ...predictions.delivery import DeliveryState
from .. import examples
from ..http.cursors import NumberPosition, make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_CURSOR, NOT_DEAD, NOT_FOUND, ProblemError
from ..http.requests import ApiRequest
from ..queries.deliveries import (
    DeliveryFilter,
    DeliveryInfo,
    DeliveryPage,
    find_delivery,
    retry_delivery,
)
from ..queries.deliveries import list_deliveries as find_deliveries


class DeliveryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /deliveries."""

    channel: Annotated[
        Annotated[str, Meta(min_length=1, max_length=100)] | None, Meta(description="only to this channel")
    ] = None
    state: Annotated[DeliveryState | None, Meta(description="only in this state")] = None
    scenario: Annotated[UUID | None, Meta(description="only of this scenario")] = None
    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of items in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None


@get(
    "/deliveries",
    doc=OperationDoc(
        id="listDeliveries",
        tag="notifications",
        summary="List deliveries of events to channels, newest first",
        description="Those that were sent or given up are kept for 7 days.",
        query=DeliveryQuery,
        responses={200: ResponseDoc("A page of deliveries.", DeliveryPage, examples.DELIVERY_PAGE)},
        problems={BAD_CURSOR: "Send `cursor` exactly as `next_cursor` returned it, with the same filters."},
        for_admins=True,
    ),
)
async def list_deliveries(request: ApiRequest) -> DeliveryPage:
    """Return a page, newest first."""
    query = request.parameters(DeliveryQuery)
    wanted = DeliveryFilter(query.channel, query.state, query.scenario)
    bound = ("deliveries", wanted)
    before = None if query.cursor is None else read_cursor(query.cursor, bound, NumberPosition).value
    items, more = await find_deliveries(request.deps.predictions, wanted, before, query.limit)
    return DeliveryPage(items, None if more is None else make_cursor(NumberPosition(more), bound))


@post(
    "/deliveries/{delivery_id:uuid}/retry",
    status_code=200,
    doc=OperationDoc(
        id="retryDelivery",
        tag="notifications",
        summary="Send a dead delivery again",
        description="It is tried as often as a new one. Later events of its scenario may have been sent"
        " before it.",
        responses={200: ResponseDoc("The delivery, pending again.", DeliveryInfo, examples.DELIVERY)},
        problems={
            NOT_FOUND: examples.NO_DELIVERY,
            NOT_DEAD: "Only a dead delivery is sent again: it is sent.",
        },
    ),
)
async def retry(request: ApiRequest, delivery_id: FromPath[UUID]) -> DeliveryInfo:
    """Return the delivery. Raises ProblemError: 404 if there is none, 409 if it is not dead."""
    predictions = request.deps.predictions
    if (retried := await retry_delivery(predictions, delivery_id)) is not None:
        return retried
    if (found := await find_delivery(predictions, delivery_id)) is None:
        raise ProblemError(
            NOT_FOUND, f"There is no delivery {delivery_id}. GET /deliveries lists those that exist."
        )
    if found.event_id is None:
        raise ProblemError(NOT_DEAD, "A test is not sent again: test the channel once more.")
    raise ProblemError(NOT_DEAD, f"Only a dead delivery is sent again: it is {found.state}.")
