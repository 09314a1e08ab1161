"""Problem documents (RFC 9457): each says what is wrong and what to do."""

from uuid import UUID

import msgspec
from litestar.types import Send
from msgspec import UNSET, Struct, UnsetType

PROBLEM_JSON = "application/problem+json"


class ProblemType(Struct, frozen=True):
    """A type of problem: programs read the slug in `type`, people read the title."""

    slug: str
    status: int
    title: str


BAD_REQUEST = ProblemType("bad-request", 400, "The request cannot be understood")
BAD_CURSOR = ProblemType("bad-cursor", 400, "The cursor does not belong to this query")
KEY_NEEDED = ProblemType("api-key-needed", 401, "An API key is required")
FORBIDDEN = ProblemType("forbidden", 403, "The request is not allowed")
NOT_FOUND = ProblemType("not-found", 404, "Not found")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "The path does not support this method")
TOO_SLOW = ProblemType("too-slow", 408, "The request did not arrive in time")
GONE = ProblemType("gone", 410, "It is no longer here")
CONFLICT = ProblemType("conflict", 409, "The scenario's state does not allow this")
BATCH_CONFLICT = ProblemType("conflict", 409, "The batch's state does not allow this")
NOT_DEAD = ProblemType("conflict", 409, "The delivery's state does not allow this")
NAME_TAKEN = ProblemType("name-taken", 409, "There is a file of this name")
NO_PICTURE = ProblemType("no-picture", 409, "The frame cannot be shown")
NO_SAMPLE = ProblemType("no-sample", 409, "The sample cannot be written")
NOT_SATISFIABLE = ProblemType("range-not-satisfiable", 416, "The range is outside the file")
TOO_LARGE = ProblemType("too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "The body must be JSON")
UNSUPPORTED_PICTURE = ProblemType("unsupported-media-type", 415, "The body must be a picture")
UNSUPPORTED_UPLOAD = ProblemType("unsupported-media-type", 415, "The body must be the file itself")
INVALID = ProblemType("invalid", 422, "A value is not allowed")
MISMATCH = ProblemType("mismatch", 422, "The id already belongs to a different request")
TOO_MANY_REQUESTS = ProblemType("too-many-requests", 429, "Too many requests were made")
INTERNAL = ProblemType("internal", 500, "An internal error occurred")
UNAVAILABLE = ProblemType("unavailable", 503, "The service cannot answer right now")
NO_ROOM = ProblemType("no-room", 507, "The disk has no room for the file")
TOO_MANY_STREAMS = ProblemType("too-many-streams", 503, "Too many event streams are open")

JSON_BODY = {
    BAD_REQUEST: "The body is not valid JSON: trailing comma in object at line 1, column 23.",
    TOO_SLOW: "The body must arrive within 20 seconds. Send the request again.",
    TOO_LARGE: "A request body may have at most 1 MB.",
    UNSUPPORTED_MEDIA_TYPE: "Send the body as JSON with the header `Content-Type: application/json`.",
}
"""The problems of every request with a body of JSON, with examples."""


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
        """Send the document as the response to a request that did not reach Litestar."""
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
    """Return the error 503: the same request can succeed later."""
    return ProblemError(UNAVAILABLE, detail, scenario_id=scenario_id, headers={"Retry-After": "2"})


def no_scenario(scenario_id: UUID, *, field: str | None = None) -> ProblemError:
    """Return the error 404 for an id that was never used, or whose scenario was deleted."""
    detail = f"There is no scenario {scenario_id}. GET /scenarios lists those that exist."
    return ProblemError(NOT_FOUND, detail, field=field)


def no_event(scenario_id: UUID, event_id: int) -> ProblemError:
    """Return the error 404 for an event that a scenario never had, or does not have any more."""
    return ProblemError(
        NOT_FOUND,
        f"The scenario has no event {event_id}, or it is too old and was removed."
        f" GET /scenarios/{scenario_id}/events lists those that exist.",
    )


def no_batch(batch_id: UUID) -> ProblemError:
    """Return the error 404 for an id that was never used, or whose batch was deleted."""
    return ProblemError(NOT_FOUND, f"There is no batch {batch_id}. GET /batches lists those that exist.")
