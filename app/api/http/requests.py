"""The request as handlers see it: decoded query and body, and the resources they use."""

from typing import TypeVar

from anyio import fail_after
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import InternalServerException

from ...video.lookup.processes import PictureProcesses
from ..change_stream import ChangeStream
from ..live_pictures import LivePictures
from ..options import ApiDeps, ApiOptions
from .auth import Caller
from .limits import RequestLimits
from .problems import BAD_REQUEST, TOO_SLOW, UNSUPPORTED_MEDIA_TYPE, ProblemError, unavailable
from .response_cache import ResponseCache
from .validation import decode_body, decode_query

T = TypeVar("T")

BODY_TIMEOUT = 20  # seconds


class ApiRequest(Request[Caller, str, State]):
    """A request whose `user` is the caller that `admit` returned, and `auth` its name."""

    @property
    def options(self) -> ApiOptions:
        """The options of this API."""
        options: ApiOptions = self.app.state.options
        return options

    @property
    def open_deps(self) -> ApiDeps | None:
        """The databases and the bus, or None while they are not open."""
        deps: ApiDeps | None = self.app.state.deps
        return deps

    @property
    def deps(self) -> ApiDeps:
        """The databases and the bus. Raises ProblemError (503) while they are not open."""
        deps: ApiDeps | None = self.app.state.deps
        if deps is None:
            raise _not_open()
        return deps

    @property
    def change_stream(self) -> ChangeStream:
        """The stream of changes. Raises ProblemError (503) while the databases are not open."""
        change_stream: ChangeStream | None = self.app.state.change_stream
        if change_stream is None:
            raise _not_open()
        return change_stream

    @property
    def picture_processes(self) -> PictureProcesses:
        """The processes that decode pictures. Raises ProblemError (503) while the databases are not open."""
        processes: PictureProcesses | None = self.app.state.picture_processes
        if processes is None:
            raise _not_open()
        return processes

    @property
    def live_pictures(self) -> LivePictures:
        """The live pictures of this process. Raises ProblemError (503) while the databases are not open."""
        pictures: LivePictures | None = self.app.state.live_pictures
        if pictures is None:
            raise _not_open()
        return pictures

    @property
    def limits(self) -> RequestLimits:
        """The limits of this process."""
        limits: RequestLimits = self.app.state.limits
        return limits

    @property
    def response_cache(self) -> ResponseCache:
        """Responses that cannot change any more."""
        cache: ResponseCache = self.app.state.response_cache
        return cache

    def parameters(self, model: type[T]) -> T:
        """Return the query string as a `model`. Raises ProblemError (400)."""
        return decode_query(self.scope["query_string"], model)

    async def content(self, model: type[T]) -> T:
        """Return the JSON body as a `model`. Raises ProblemError (400, 408, 413, 415, 422)."""
        media_type, _ = self.content_type
        if media_type != "application/json" and not media_type.endswith("+json"):
            detail = "Send the body as JSON with the header `Content-Type: application/json` (curl: --json)."
            raise ProblemError(UNSUPPORTED_MEDIA_TYPE, detail)
        return decode_body(await self.received_body(), model)

    def _check_coding(self) -> None:
        """Check that the body is not compressed. Raises ProblemError (415)."""
        coding = self.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise ProblemError(
                UNSUPPORTED_MEDIA_TYPE,
                f"The body is encoded with {coding[:20]!r}. Send it as it is, without Content-Encoding.",
                headers={"Accept-Encoding": "identity"},
            )

    async def received_body(self) -> bytes:
        """Return the body. Raises ProblemError (400, 408, 413, 415)."""
        self._check_coding()
        try:
            with fail_after(BODY_TIMEOUT):
                return await self.body()
        except TimeoutError as error:
            detail = f"The body must arrive within {BODY_TIMEOUT} seconds. Send the request again."
            raise ProblemError(TOO_SLOW, detail) from error
        except InternalServerException as error:  # Litestar's, if the client disconnects
            detail = "The body did not arrive completely. Send the request again."
            raise ProblemError(BAD_REQUEST, detail) from error


def _not_open() -> ProblemError:
    return unavailable("The service is starting or stopping. Repeat the request in a moment.")
