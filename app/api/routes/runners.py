"""Runners."""

from litestar import get

from ..http.openapi import Answer, Doc
from ..http.requests import ApiRequest
from ..queries.runners import EXAMPLE, RunnerList, list_runners


@get(
    "/runners",
    doc=Doc(
        id="listRunners",
        tag="service",
        summary="List the runners and what they hold",
        answers={200: Answer("The runner instances.", RunnerList, EXAMPLE)},
    ),
)
async def get_runners(request: ApiRequest) -> RunnerList:
    """The instances heard of lately."""
    return RunnerList(await list_runners(request.deps.scenarios, request.options.heartbeat_timeout))
