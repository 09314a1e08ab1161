"""The request as handlers see it: typed reading of query and body, and what they work with."""

from typing import TypeVar
from uuid import UUID

from anyio import fail_after
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException

from ..change_stream import ChangeStream
from ..options import ApiDeps, ApiOptions
from .problems import BAD_REQUEST, TOO_SLOW, UNSUPPORTED_MEDIA_TYPE, ProblemError, unavailable
from .response_cache import ResponseCache
from .validation import decode_body, decode_query

T = TypeVar("T")

_BODY_WAIT = 20  # seconds


class ApiRequest(Request[None, str, State]):
    """A request whose `auth` is the caller's name, see app.api.auth."""

    @property
    def options(self) -> ApiOptions:
        """The values this API was made with."""
        options: ApiOptions = self.app.state.options
        return options

    @property
    def deps(self) -> ApiDeps:
        """The databases and the bus. Raises ProblemError (503) while they are not open."""
        deps: ApiDeps | None = self.app.state.deps
        if deps is None:
            raise unavailable("The service is starting or stopping. Repeat the request in a moment.")
        return deps

    @property
    def feed(self) -> ChangeStream:
        """The live feed of changes. Raises ProblemError (503) while the databases are not open."""
        feed: ChangeStream | None = self.app.state.feed
        if feed is None:
            raise unavailable("The service is starting or stopping. Repeat the request in a moment.")
        return feed

    @property
    def kept(self) -> ResponseCache:
        """Answers that cannot change any more."""
        kept: ResponseCache = self.app.state.kept
        return kept

    def parameters(self, model: type[T]) -> T:
        """The query string as a `model`. Raises ProblemError (400)."""
        return decode_query(self.scope["query_string"], model)

    async def content(self, model: type[T]) -> T:
        """The JSON body as a `model`. Raises ProblemError (400, 408, 413, 415, 422)."""
        media_type, _ = self.content_type
        if media_type != "application/json" and not media_type.endswith("+json"):
            detail = "Send the body as JSON with the header `Content-Type: application/json` (curl: --json)."
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE, detail)
        try:
            with fail_after(_BODY_WAIT):
                body = await self.body()
        except TimeoutError as error:
            raise ProblemError(TOO_SLOW, f"The body has to arrive within {_BODY_WAIT} seconds.") from error
        except InternalServerException as error:
            raise ProblemError(BAD_REQUEST, "The body did not arrive whole.") from error
        return decode_body(body, model)


def location_of(scenario_id: UUID) -> dict[str, str]:
    """The header that says where a scenario is."""
    return {"Location": f"/scenarios/{scenario_id}"}
