"""Turn every exception that ends a request into a problem document."""

import re
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog
from asyncpg import QueryCanceledError
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from ...domain.redaction import redact
from ...postgres import TRANSIENT
from ..databases import QUERY_TIMEOUT
from ..options import ApiDeps
from .model_paths import allowed_methods
from .problems import (
    BAD_REQUEST,
    INTERNAL,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PROBLEM_JSON,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    unavailable,
)

log = structlog.get_logger(__name__)

AnyRequest = Request[Any, Any, Any]

_MAX_PATH = 500  # bytes of a path that are logged
_MAX_QUOTED = 100  # characters of a client's path in an error
_BY_STATUS = {
    kind.status: kind
    for kind in (BAD_REQUEST, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
}
_DETAILS = {
    404: "There is no such path. GET /docs shows all paths.",
    405: "Use one of the methods in the Allow header.",
    413: "A request body may have at most 1 MB, a picture 10 MB.",
}


def on_problem(_request: AnyRequest, error: ProblemError) -> Response[bytes]:
    """Answer with the problem document that a handler raised."""
    return Response(
        msgspec.json.encode(error.problem),
        status_code=error.problem.status,
        media_type=PROBLEM_JSON,
        headers=error.headers,
    )


def on_http_exception(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Answer for what Litestar itself refuses: unknown paths, wrong methods, large bodies."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return on_unexpected(request, error)
    kind = _BY_STATUS.get(error.status_code, BAD_REQUEST)
    detail = _DETAILS.get(error.status_code, error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and (wrong := _wrong_id(request.scope["path"])):
        detail = f"{wrong!r} is not the id of a scenario, which is a UUID. GET /scenarios lists all."
    headers = error.headers
    if kind is METHOD_NOT_ALLOWED and (allowed := allowed_methods(request.scope["path"])):
        headers = {"Allow": allowed}
    return on_problem(request, ProblemError(kind, detail, headers=headers))


def on_transient(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Answer 503 if the database or the network failed, so that the same request can succeed later."""
    # A value that does not fit its column is an error of the client or of this service: it does not pass.
    if isinstance(error, ValueError):
        return on_unexpected(request, error)
    log.warning("database unavailable", path=_path(request), error=repr(error))
    deps: ApiDeps | None = request.app.state.deps
    if deps is not None and deps.full_since() is not None:
        detail = (
            "No space is left on the disk of VA_DATA_DIR, where the databases are. Make room, and repeat it."
        )
    elif isinstance(error, QueryCanceledError):
        detail = (
            f"The database needed more than {QUERY_TIMEOUT:g} s. Ask for less, such as a narrower range"
            " of frames, or repeat the request when the database is less busy."
        )
    else:
        detail = "A database does not answer. Repeat the request in a moment."
    return on_problem(request, unavailable(detail))


def on_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Log the exception under an id, and answer 500 with the id and nothing else of it."""
    error_id = uuid4().hex[:12]
    log.error("request failed", error_id=error_id, path=_path(request), exc_info=error)
    detail = f"The error is logged under {error_id}. Repeat the request; if it fails again, report this id."
    return on_problem(request, ProblemError(INTERNAL, detail, error_id=error_id))


def _wrong_id(path: str) -> str | None:
    """Return what a path has in the place of a scenario's id, if that is no id."""
    if (found := re.match(r"/scenarios/([^/]+)", path)) is None:
        return None
    try:
        UUID(found[1])
    except ValueError:
        return redact(found[1][:_MAX_QUOTED])
    return None


def _path(request: AnyRequest) -> str:
    return request.scope["raw_path"][:_MAX_PATH].decode("latin-1")


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    ProblemError: on_problem,
    HTTPException: on_http_exception,
    **dict.fromkeys(TRANSIENT, on_transient),
    Exception: on_unexpected,
}
