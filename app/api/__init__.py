"""The HTTP API: routes by resource, read-only views of both databases, errors, admission.

`create_app` makes the application before anything is open; `serve` gives it its resources, and takes them
away when it is cancelled. In between, routes answer 503 and /health/ready says what is waited for.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from anyio import TASK_STATUS_IGNORED
from anyio.abc import TaskStatus
from litestar import Litestar, Response, route
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from .change_stream import ChangeStream
from .http.middleware import RequestMiddleware
from .http.openapi import openapi_document
from .http.problems import answer_exception
from .http.requests import ApiRequest
from .http.response_cache import ResponseCache
from .options import ApiDeps, ApiOptions
from .routes import detectors, docs, events, health, metrics, predictions, runners, scenarios

__all__ = ["ApiDeps", "ApiOptions", "create_app", "serve"]

MAX_BODY = 1_000_000  # bytes

PROBES: list[HTTPRouteHandler] = [health.live, health.ready, metrics.metrics]
ROUTES: list[HTTPRouteHandler] = [
    scenarios.create_scenario,
    scenarios.list_scenarios,
    scenarios.get_scenario,
    scenarios.stop_scenario,
    scenarios.start_scenario,
    scenarios.delete_scenario,
    predictions.get_predictions,
    events.get_history,
    events.stream_events,
    runners.get_runners,
    detectors.get_detectors,
]
PAGES: list[HTTPRouteHandler] = [docs.root, docs.page, docs.document, docs.asset]

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_app(options: ApiOptions, *, lifespan: Sequence[Lifespan] = (), resources: bool = True) -> Litestar:
    """The application. Without `resources`, for a process of other roles, it has health and metrics only."""
    routes = [*PROBES, *ROUTES] if resources else PROBES
    state = State(
        {"options": options, "deps": None, "feed": None, "kept": ResponseCache(), "needs_deps": resources}
    )
    state.openapi = openapi_document(routes, options.version)
    handlers = [*routes, *PAGES] if resources else routes
    app = Litestar(
        route_handlers=[*_options_handlers(handlers), *handlers],
        request_class=ApiRequest,
        request_max_body_size=MAX_BODY,
        exception_handlers={Exception: answer_exception},
        state=state,
        lifespan=list(lifespan),
        openapi_config=None,
        logging_config=None,
    )
    app.asgi_handler = RequestMiddleware(app.asgi_handler, options)
    return app


def _options_handlers(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """What answers OPTIONS: Litestar's own answer knows only the first handler of a path."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_options_handler(path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _options_handler(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method="OPTIONS", include_in_schema=False)
    async def answer_options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allowed})

    return answer_options


async def serve(app: Litestar, deps: ApiDeps, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
    """Answer with these resources until cancelled."""
    feed = ChangeStream(deps.scenarios, deps.predictions, app.state.options)
    app.state.deps, app.state.feed = deps, feed
    try:
        await feed.run(task_status=task_status)
    finally:
        app.state.deps = app.state.feed = None
