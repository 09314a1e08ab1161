"""Errors as RFC 9457 problem documents: each says what is wrong and what to do."""

from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog
from asyncpg import QueryCanceledError
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import Send
from msgspec import UNSET, Struct, UnsetType

from ...postgres import TRANSIENT
from ..databases import LONGEST_QUERY

log = structlog.get_logger(__name__)

PROBLEM_JSON = "application/problem+json"


class ProblemType(Struct, frozen=True):
    """One kind of problem: programs tell them apart by the slug in `type`, people by the title."""

    slug: str
    status: int
    title: str


BAD_REQUEST = ProblemType("bad-request", 400, "The request cannot be understood")
BAD_CURSOR = ProblemType("bad-cursor", 400, "The cursor does not belong to this query")
KEY_NEEDED = ProblemType("api-key-needed", 401, "An API key is needed")
FORBIDDEN = ProblemType("forbidden", 403, "The request is not allowed")
NOT_FOUND = ProblemType("not-found", 404, "Nothing is there")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "The path does not offer this method")
TOO_SLOW = ProblemType("too-slow", 408, "The request did not arrive in time")
CONFLICT = ProblemType("conflict", 409, "The scenario's state does not allow this")
TOO_LARGE = ProblemType("too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "The body must be JSON")
INVALID = ProblemType("invalid", 422, "A value is not allowed")
MISMATCH = ProblemType("mismatch", 422, "The id already belongs to a different request")
TOO_MANY_REQUESTS = ProblemType("too-many-requests", 429, "Too many requests were made")
INTERNAL = ProblemType("internal", 500, "Something went wrong in the service")
UNAVAILABLE = ProblemType("unavailable", 503, "The service cannot answer right now")
TOO_MANY_STREAMS = ProblemType("too-many-streams", 503, "Too many event streams are open")

_BY_STATUS = {
    kind.status: kind
    for kind in (BAD_REQUEST, NOT_FOUND, METHOD_NOT_ALLOWED, TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)
}
_DETAIL = {
    404: "There is no such path. GET /docs shows all of them.",
    405: "The Allow header lists the methods that this path offers.",
    413: "A request body may have at most 1 MB.",
}


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong, and what to do about it (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    field: str | UnsetType = UNSET
    scenario_id: UUID | UnsetType = UNSET
    error_id: str | UnsetType = UNSET


class ProblemError(Exception):
    """Ends a request with a problem document."""

    def __init__(
        self,
        kind: ProblemType,
        detail: str,
        *,
        field: str | None = None,
        scenario_id: UUID | None = None,
        error_id: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.headers = headers or {}
        self.problem = Problem(
            type=f"/problems/{kind.slug}",
            title=kind.title,
            status=kind.status,
            detail=detail,
            field=field or UNSET,
            scenario_id=scenario_id or UNSET,
            error_id=error_id or UNSET,
        )

    async def send(self, send: Send) -> None:
        """Answer a request with it from outside the framework."""
        body = msgspec.json.encode(self.problem)
        headers = {"content-type": PROBLEM_JSON, "content-length": str(len(body)), **self.headers}
        await send(
            {
                "type": "http.response.start",
                "status": self.problem.status,
                "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            }
        )
        await send({"type": "http.response.body", "body": body, "more_body": False})


def unavailable(detail: str, *, scenario_id: UUID | None = None) -> ProblemError:
    """503: the same request succeeds when repeated later."""
    return ProblemError(UNAVAILABLE, detail, scenario_id=scenario_id, headers={"Retry-After": "2"})


def no_scenario(scenario_id: UUID) -> ProblemError:
    """404 for an id that never was, or that was deleted."""
    return ProblemError(
        NOT_FOUND, f"There is no scenario {scenario_id}. GET /scenarios lists those that exist."
    )


def answer_exception(request: Request[Any, Any, Any], exception: Exception) -> Response[bytes]:
    """The problem document for whatever a request ended with."""
    error = _as_problem(request, exception)
    return Response(
        msgspec.json.encode(error.problem),
        status_code=error.problem.status,
        media_type=PROBLEM_JSON,
        headers=error.headers,
    )


def _as_problem(request: Request[Any, Any, Any], exception: Exception) -> ProblemError:
    if isinstance(exception, ProblemError):
        return exception
    if isinstance(exception, HTTPException) and exception.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = _BY_STATUS.get(exception.status_code, BAD_REQUEST)
        detail = _DETAIL.get(exception.status_code, exception.detail)
        return ProblemError(kind, detail, headers=exception.headers)
    # A value that does not fit its column is the caller's fault or ours, and never passes by itself.
    if isinstance(exception, TRANSIENT) and not isinstance(exception, ValueError):
        log.warning(
            "database unavailable", path=request.scope["raw_path"].decode("latin-1"), error=repr(exception)
        )
        if isinstance(exception, QueryCanceledError):
            return unavailable(
                f"The database needed more than {LONGEST_QUERY:g} s. Ask for less, such as a narrower range"
                " of frames, or repeat the request when it is less busy."
            )
        return unavailable("A database does not answer. Repeat the request in a moment.")
    error_id = uuid4().hex[:12]
    log.error(
        "request failed",
        error_id=error_id,
        path=request.scope["raw_path"].decode("latin-1"),
        exc_info=exception,
    )
    detail = f"The fault is logged under {error_id}. Repeat the request, and report that id if it stays."
    return ProblemError(INTERNAL, detail, error_id=error_id)
