"""Exchange a key for a cookie, so that pages can show pictures and follow event streams."""

from datetime import UTC, datetime
from time import time
from typing import Annotated, Literal

from litestar import Response, delete, get, post
from litestar.datastructures import Cookie
from msgspec import Meta, Struct

from ..http.auth import check_key
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import FORBIDDEN, INVALID, JSON_BODY, KEY_NEEDED, ProblemError
from ..http.requests import ApiRequest
from ..http.sessions import COOKIE, LIFETIME, KeySession, make_cookie

Access = Literal["admin", "viewer", "none"]


class NewSession(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to log in with."""

    key: Annotated[
        str, Meta(min_length=1, max_length=10_000, description="one of VA_API_KEYS or VA_VIEWER_KEYS")
    ]


class SessionInfo(Struct, frozen=True):
    """What the client may do."""

    access: Annotated[
        Access, Meta(description="admin: everything; viewer: look; none: send a key, or log in")
    ]
    needs_key: Annotated[
        bool, Meta(description="false for a client on the service's machine that is served without a key")
    ]
    expires_at: Annotated[
        datetime | None, Meta(description="when the session ends; null if the client has none")
    ]


_EXAMPLE = SessionInfo("viewer", True, datetime(2026, 1, 31, 21, 30, tzinfo=UTC))
_FOREIGN = "A page of another origin must send an API key with this request."


@get(
    "/session",
    doc=OperationDoc(
        id="getSession",
        tag="access",
        summary="Tell what this client may do",
        description="It is answered without a key, too, so that a page knows whether to ask for one.",
        responses={200: ResponseDoc("The client's rights.", SessionInfo, _EXAMPLE)},
        open=True,
    ),
)
async def get_session(request: ApiRequest) -> SessionInfo:
    """Return the caller's rights."""
    return _info(request.auth, request.user.session_end)


@post(
    "/session",
    status_code=200,
    doc=OperationDoc(
        id="logIn",
        tag="access",
        summary="Log in: exchange a key for a cookie",
        description=(
            "For pages in a browser; programs send the key itself. The cookie is valid for 12 hours, for"
            " every api process that has the key, and ends with the key. A request that has it and changes"
            " something must come from a page of this service (`Origin`)."
        ),
        body=NewSession,
        body_examples={"a key": NewSession("5f0c2e7d9a1b4c3e8f6a7b8c9d0e1f2a")},
        responses={
            200: ResponseDoc(
                "The client's rights.",
                SessionInfo,
                _EXAMPLE,
                headers={"Set-Cookie": f"`{COOKIE}`: HttpOnly, SameSite=Strict, and Secure under https"},
            )
        },
        problems=JSON_BODY
        | {
            KEY_NEEDED: "The API key is not valid. Send one of the keys in VA_API_KEYS.",
            FORBIDDEN: _FOREIGN,
            INVALID: "This service has no keys (VA_API_KEYS): clients on its own machine need none.",
        },
        open=True,
    ),
)
async def log_in(request: ApiRequest) -> Response[SessionInfo]:
    """Set the cookie of a key. Raises ProblemError: 401 if the key is wrong, 422 if there are no keys."""
    key = (await request.content(NewSession)).key
    options = request.options
    if not options.api_keys:
        detail = "This service has no keys (VA_API_KEYS): clients on its own machine need none."
        raise ProblemError(INVALID, detail, field="key")
    try:
        name = check_key(key.encode(), options.api_keys, options.viewer_keys, "VA_API_KEYS")
    except ProblemError:
        request.limits.count_refusal(request.scope)
        raise
    session = KeySession(key, int(time()) + LIFETIME)
    cookie = _cookie(request, make_cookie(session), LIFETIME)
    return Response(_info(name, session.expires_at), cookies=[cookie])


@delete(
    "/session",
    status_code=204,
    doc=OperationDoc(
        id="logOut",
        tag="access",
        summary="Log out: remove the cookie",
        description="It is removed from this browser. What was copied of it is valid until it ends.",
        responses={204: ResponseDoc("The browser has no cookie of this service any more.")},
        problems={FORBIDDEN: _FOREIGN},
        open=True,
    ),
)
async def log_out(request: ApiRequest) -> Response[None]:
    """Remove the cookie."""
    return Response(None, cookies=[_cookie(request, "", 0)])


def _info(caller: str, session_end: int | None) -> SessionInfo:
    kind = caller.partition(":")[0]
    access: Access = "admin" if kind in ("key", "local") else "viewer" if kind == "viewer" else "none"
    expires_at = None if session_end is None else datetime.fromtimestamp(session_end, UTC)
    return SessionInfo(access, kind != "local", expires_at)


def _cookie(request: ApiRequest, value: str, max_age: int) -> Cookie:
    return Cookie(
        COOKIE,
        value=value,
        max_age=max_age,
        path=request.options.path_prefix or "/",
        secure=_is_https(request),
        httponly=True,
        samesite="strict",
    )


def _is_https(request: ApiRequest) -> bool:
    """Return whether the browser came by https, which `Origin` tells although a proxy ended TLS."""
    if origin := request.headers.get("origin"):
        return origin.lower().startswith("https:")
    return request.scope["scheme"] == "https" or request.options.public_url.startswith("https:")
