"""The ASGI application below /v2: the routes of the Open Inference Protocol."""

import re
import time
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec
import structlog
from anyio import TASK_STATUS_IGNORED, CapacityLimiter, to_thread
from anyio.abc import TaskStatus

from ..detectors.backends.session import InferenceError
from ..detectors.base import DetectorError
from ..detectors.objects.detector import WEIGHTS
from ..detectors.oip.datatypes import ProtocolError
from ..detectors.oip.framing import JSON_LENGTH_HEADER, MAX_JSON_VALUES, Body, parse_json_length
from ..detectors.oip.inference import InferResponse, decode_request, encode_response
from ..detectors.oip.metadata import BINARY_EXTENSION, ErrorBody, ModelState, ServerMetadata, ServerState
from ..detectors.oip.tensors import NamedArray
from ..detectors.onnx.cache import FileCache
from .batching import BatchScheduler, BusyError
from .bodies import BodyReader, RefusedError, busy, ended_by_disconnect
from .hosted_model import VERSION, HostedModel
from .statistics import COMPUTE_SECONDS, QUEUE_SECONDS, REQUESTS

log = structlog.get_logger(__name__)

ANSWERS = 256
"""Answers after which a connection is closed: its client connects again, perhaps to a server that is new."""

_SMALL_JSON = 64 * 1024  # bytes that are read on the event loop
_MODEL = re.compile(
    r"/models/(?P<name>.+?)(?:/versions/(?P<version>[^/]+))?(?:/(?P<action>infer|ready|stats))?"
)


class _Response(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]


class InferenceApp:
    """Answers 503 until `serve` has given it models and a scheduler."""

    def __init__(self, version: str, max_body: int) -> None:
        """`version` is the service's; at most `max_body` bytes are taken in one request."""
        self._version = version
        self._bodies = BodyReader(max_body)
        self._answers = 0
        self._models: FileCache[HostedModel] | None = None
        self._scheduler: BatchScheduler | None = None
        self._reading = CapacityLimiter(1)  # requests in JSON, which take much memory while they are read

    async def serve(
        self,
        models: FileCache[HostedModel],
        scheduler: BatchScheduler,
        *,
        task_status: TaskStatus[None] = TASK_STATUS_IGNORED,
    ) -> None:
        """Serve these models until cancelled."""
        self._models, self._scheduler = models, scheduler
        try:
            await scheduler.run(task_status=task_status)
        finally:
            self._models = self._scheduler = None

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request."""
        try:
            response = await self._answer(scope, receive)
        except RefusedError as refused:
            response = _error(refused.status, str(refused), refused.headers)
        except Exception:
            log.exception("request failed")
            response = _error(500, "An internal error occurred: the server's log says which.", {})
        self._answers += 1
        if self._answers % ANSWERS == 0:
            response.headers["Connection"] = "close"
        await _send(send, response)

    @staticmethod
    async def refuse(send: Any, status: int, text: str, headers: dict[str, str]) -> None:
        """Answer a request that did not reach the application."""
        await _send(send, _error(status, text, headers))

    async def _answer(self, scope: dict[str, Any], receive: Any) -> _Response:
        path = scope["path"].removeprefix("/v2").rstrip("/")
        scope["path_template"] = "/v2" + path
        match path:
            case "":
                self._allow(scope, "GET")
                extensions = (BINARY_EXTENSION, "statistics")
                return _json(ServerMetadata("videoanalysis", self._version, extensions))
            case "/health/live":
                self._allow(scope, "GET")
                return _json(ServerState(live=True))
            case "/health/ready":
                self._allow(scope, "GET")
                is_ready = self._models is not None
                return _json(ServerState(ready=is_ready), 200 if is_ready else 503)
        found = _MODEL.fullmatch(path)
        scope["path_template"] = "unmatched"
        if found is None:
            raise RefusedError(
                404, "There is nothing at this path: the protocol's paths begin with /v2/models/."
            )
        name, version, action = found["name"], found["version"], found["action"] or ""
        scope["path_template"] = f"/v2/models/{{name}}/{action}".rstrip("/")
        if version not in (None, VERSION):
            raise RefusedError(
                404, f"The model has no version {version[:100]!r}: ask for {VERSION}, or for none."
            )
        self._allow(scope, "POST" if action == "infer" else "GET")
        model = await self._load(name)
        match action:
            case "infer":
                return await self._infer(scope, receive, name, model)
            case "ready":
                return _json(ModelState(name, ready=True))
            case "stats":
                return _json(model.statistics.as_message(name, VERSION))
        return _json(model.metadata(name))

    def _allow(self, scope: dict[str, Any], method: str) -> None:
        if scope["method"] != method:
            raise RefusedError(405, f"The path supports {method} alone.", {"Allow": method})

    async def _load(self, name: str) -> HostedModel:
        if self._models is None:
            raise busy("The server is starting or stopping: try again.")
        if PurePosixPath(name).as_posix() != name:  # metrics keep each name for ever
            raise RefusedError(
                404, f"There is no model {name[:100]!r}: write its name without needless parts."
            )
        models = self._models
        load = partial(models.load_file, WEIGHTS, name) if name == "objects" else partial(models.load, name)
        try:
            return await to_thread.run_sync(load, abandon_on_cancel=True)
        except DetectorError as error:
            raise RefusedError(404, str(error)) from error

    async def _infer(self, scope: dict[str, Any], receive: Any, name: str, model: HostedModel) -> _Response:
        began = time.perf_counter()
        status = 500
        try:
            async with self._bodies.read(scope, receive) as content:
                response = await self._compute(scope, receive, content, name, model)
            status = response.status
        except RefusedError as refused:
            status = refused.status
            raise
        except ProtocolError as error:
            status = 400
            raise RefusedError(400, f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
        else:
            return response
        finally:
            REQUESTS.labels(name, str(status)).inc()
            model.statistics.count_request(time.perf_counter() - began, succeeded=status == 200)

    async def _compute(
        self, scope: dict[str, Any], receive: Any, content: bytes, name: str, model: HostedModel
    ) -> _Response:
        header = dict(scope["headers"]).get(JSON_LENGTH_HEADER.lower().encode())
        body = Body(content, parse_json_length(None if header is None else header.decode("latin-1")))
        if body.has_too_many_values:
            raise RefusedError(
                413, f"The JSON has more than {MAX_JSON_VALUES:,} values: send tensors as binary."
            )
        size = len(content) if body.json_length is None else body.json_length
        request = await self._in_thread(size > _SMALL_JSON, partial(decode_request, body))
        feeds, wanted = model.feeds(request), model.wanted(request)
        if self._scheduler is None:
            raise busy("The server is stopping: ask another server.")
        began = time.perf_counter()
        try:
            async with ended_by_disconnect(receive):
                values, waited = await self._scheduler.infer(model, feeds, wanted)
        except BusyError:
            raise busy("Too many requests wait for a core: try again, or ask another server.") from None
        except InferenceError as error:
            raise RefusedError(400, f"The model cannot compute with these inputs: {error}") from error
        model.statistics.count_queue(waited)
        QUEUE_SECONDS.labels(name).observe(waited)
        COMPUTE_SECONDS.labels(name).observe(time.perf_counter() - began - waited)
        outputs = tuple(map(NamedArray, wanted, values))
        is_binary = all(map(request.wants_binary, wanted))
        response = InferResponse(name, outputs, VERSION, request.id, model.digest)
        answer = await self._in_thread(not is_binary, partial(encode_response, response, request))
        return _Response(200, answer.content, answer.headers)

    async def _in_thread(self, needed: bool, work: Callable[[], Any]) -> Any:
        """Do what takes long for large JSON in a thread, one at a time."""
        return await to_thread.run_sync(work, limiter=self._reading) if needed else work()


def _json(message: object, status: int = 200) -> _Response:
    return _Response(status, msgspec.json.encode(message), {"Content-Type": "application/json"})


def _error(status: int, text: str, headers: dict[str, str]) -> _Response:
    response = _json(ErrorBody(text), status)
    return response._replace(headers={**response.headers, **headers})


async def _send(send: Any, response: _Response) -> None:
    headers = {**response.headers, "Content-Length": str(len(response.body))}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": raw})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})
