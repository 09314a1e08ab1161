"""Read the runners."""

from litestar import get

from .. import examples
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.requests import ApiRequest
from ..queries.runners import RunnerList, list_runners


@get(
    "/runners",
    doc=OperationDoc(
        id="listRunners",
        tag="service",
        summary="List the runners and the scenarios they hold",
        responses={200: ResponseDoc("The runner instances.", RunnerList, examples.RUNNER_LIST)},
    ),
)
async def get_runners(request: ApiRequest) -> RunnerList:
    """Return the instances that had a heartbeat lately, or still hold a run."""
    return await list_runners(request.deps.scenarios, request.options.heartbeat_timeout)
