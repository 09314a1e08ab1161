"""Answers about completed scenarios, which are computed once."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from ..http.requests import ApiRequest
from ..http.responses import JsonResponse
from ..queries.scenarios import is_completed


async def cached_once_final(
    request: ApiRequest, scenario_id: UUID, what: bytes, make: Callable[[], Awaitable[tuple[bytes, bool]]]
) -> JsonResponse:
    """Return the cached answer to this request for `what` of a scenario, or make it.

    `make` returns the body, and whether it is final.
    """
    cache, key = request.response_cache, what + b" " + request.scope["query_string"]
    body = cache.get(scenario_id, key)
    if body is None or not await is_completed(request.deps.scenarios, scenario_id):
        body, is_final = await make()
        if is_final:
            cache.put(scenario_id, key, body)
    return JsonResponse(body)
