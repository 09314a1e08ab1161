"""Runners."""

from litestar import get

from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..queries.runners import EXAMPLE, RunnerList, list_runners


@get(
    "/runners",
    doc=OperationDoc(
        id="listRunners",
        tag="service",
        summary="List the runners and what they hold",
        responses={200: ResponseDoc("The runner instances.", RunnerList, EXAMPLE)},
    ),
)
async def get_runners(request: ApiRequest) -> RunnerList:
    """The instances heard of lately."""
    return RunnerList(await list_runners(request.deps.scenarios, request.options.heartbeat_timeout))
