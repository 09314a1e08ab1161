"""Build the ASGI application, and give it its databases and its bus while they are open."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from threading import BoundedSemaphore

from anyio import TASK_STATUS_IGNORED, CapacityLimiter, create_task_group
from anyio.abc import TaskStatus
from litestar import Litestar, Response, route
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from ..detectors.onnx.catalog import ModelCatalog
from ..video.lookup.processes import PictureProcesses
from .change_stream import ChangeStream
from .http.auth import check_access
from .http.exception_handlers import EXCEPTION_HANDLERS
from .http.middleware import RequestMiddleware
from .http.openapi import openapi_document
from .http.requests import ApiRequest
from .http.response_cache import ResponseCache
from .live_pictures import LivePictures
from .options import ApiDeps, ApiOptions
from .routes import (
    batch_results,
    batches,
    changes,
    channels,
    deliveries,
    detectors,
    docs,
    events,
    evidence,
    exports,
    health,
    lifecycle,
    media,
    metrics,
    models,
    pages,
    pictures,
    predictions,
    runners,
    sample,
    scenarios,
    session,
    sources,
    system,
    timeline,
    uploads,
    video,
)

MAX_BODY = 1_000_000  # bytes
_FOLDERS_AT_ONCE = 4  # threads that list folders: a folder over the network may hold them up

PROBES: list[HTTPRouteHandler] = [health.live, health.ready, metrics.metrics]
ROUTES: list[HTTPRouteHandler] = [
    lifecycle.create_scenario,
    scenarios.list_scenarios,
    scenarios.get_counts,
    scenarios.get_scenario,
    lifecycle.stop_scenario,
    lifecycle.start_scenario,
    lifecycle.update_scenario,
    lifecycle.delete_scenario,
    batches.create_batch,
    batches.list_batches,
    batches.get_batch,
    batches.stop_batch,
    batches.start_batch,
    batches.update_batch,
    batches.delete_batch,
    batch_results.get_batch_predictions,
    predictions.get_predictions,
    pictures.get_frame,
    pictures.stream_pictures,
    video.get_video,
    events.get_scenario_events,
    events.get_event_counts,
    events.get_event,
    timeline.get_timeline,
    exports.export_scenario,
    exports.export_batch,
    events.get_events,
    evidence.get_event_picture,
    changes.get_history,
    changes.stream_changes,
    deliveries.list_deliveries,
    deliveries.retry,
    channels.get_channels,
    channels.test_channel,
    sources.try_source,
    media.list_media,
    uploads.upload_recording,
    sample.write_sample_clip,
    runners.get_runners,
    system.get_system,
    detectors.get_detectors,
    models.get_models,
    models.get_model,
    models.try_model,
    session.get_session,
    session.log_in,
    session.log_out,
]
WITHOUT_DOC: list[HTTPRouteHandler] = [models.model_options]  # before Litestar makes one of its own
PAGES: list[HTTPRouteHandler] = [
    pages.index,
    pages.page_file,
    docs.page,
    docs.document,
    docs.asset,
]

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]


def create_app(
    options: ApiOptions, *, lifespan: Sequence[Lifespan] = (), has_resources: bool = True
) -> RequestMiddleware:
    """Return the ASGI application. Its routes answer 503 until `serve` has given it its resources.

    With `has_resources` false, for a process without the api role, it has only health and metrics.
    """
    routes = [*PROBES, *ROUTES] if has_resources else PROBES
    handlers = [*WITHOUT_DOC, *routes, *PAGES] if has_resources else routes
    state = State(
        {
            "options": options,
            "has_resources": has_resources,
            "deps": None,
            "change_stream": None,
            "picture_processes": None,
            "live_pictures": None,
            "response_cache": ResponseCache(),
            "model_catalog": ModelCatalog(options.model_root, options.open_backend),
            "model_slots": BoundedSemaphore(models.MOST_WAITING),
            "upload_slots": BoundedSemaphore(uploads.AT_ONCE),
            "export_limiter": CapacityLimiter(1),  # a thread for all exports: they take no core from runs
            "folder_limiter": CapacityLimiter(_FOLDERS_AT_ONCE),
            "database_checks": health.DatabaseChecks(),
            "database_sizes": system.DatabaseSizes(),
            "openapi": partial(openapi_document, tuple(routes), options.version, options.path_prefix),
        }
    )
    app = Litestar(
        route_handlers=[*_options_handlers(handlers), *handlers],
        request_class=ApiRequest,
        guards=[check_access],
        request_max_body_size=MAX_BODY,
        exception_handlers=EXCEPTION_HANDLERS,
        state=state,
        lifespan=list(lifespan),
        openapi_config=None,
        logging_config=None,
    )
    middleware = RequestMiddleware(app, options)
    state.limits = middleware.limits
    return middleware


def _options_handlers(handlers: Sequence[HTTPRouteHandler]) -> list[HTTPRouteHandler]:
    """Return a handler of OPTIONS for each path: Litestar's own names the methods of one handler only."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    own = {path for handler in WITHOUT_DOC for path in handler.paths}
    return [
        _options_handler(path, ", ".join(sorted(allowed)))
        for path, allowed in methods.items()
        if path not in own
    ]


def _options_handler(path: str, allowed: str) -> HTTPRouteHandler:
    @route(path, http_method="OPTIONS", include_in_schema=False)
    async def answer_options() -> Response[None]:
        return Response(None, status_code=204, headers={"Allow": allowed})

    return answer_options


async def serve(app: Litestar, deps: ApiDeps, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
    """Let the routes use these resources until cancelled."""
    change_stream = ChangeStream(deps, app.state.options)
    pictures = PictureProcesses()
    app.state.deps, app.state.change_stream, app.state.picture_processes = deps, change_stream, pictures
    app.state.live_pictures = LivePictures(deps.predictions)
    options: ApiOptions = app.state.options
    try:
        async with create_task_group() as group:
            if options.uploads is not None:
                group.start_soon(uploads.remove_abandoned_uploads, options.media_root)
            await change_stream.run(task_status=task_status)
            group.cancel_scope.cancel()
    finally:
        app.state.deps = app.state.change_stream = None
        app.state.picture_processes = app.state.live_pictures = None
        pictures.close()
