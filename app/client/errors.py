"""The one exception of the client."""

from http import HTTPStatus

import httpx
import msgspec
from msgspec import Struct


class ClientError(Exception):
    """The service was not reached, or refused a request. The text is a sentence that says what to do.

    `status` is the HTTP status, and None if there was no answer. `title`, `detail`, `field` and `type` are
    those of the service's problem document (RFC 9457), as far as it sent one.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        title: str = "",
        type: str = "",  # noqa: A002 - as in the document
        field: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.title = title
        self.type = type
        self.field = field


class _ProblemDocument(Struct):
    detail: str
    title: str = ""
    type: str = ""
    field: str | None = None


def refused(url: str, status: int, headers: httpx.Headers, body: bytes) -> ClientError:
    """Return the error for an answer that is none of success."""
    try:
        problem = msgspec.json.decode(body, type=_ProblemDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _no_problem(url, status, headers)
    return ClientError(
        problem.detail, status=status, title=problem.title, type=problem.type, field=problem.field
    )


def not_reached(url: str, error: Exception) -> ClientError:
    """Return the error for a request that got no answer, or half of one."""
    if isinstance(error, httpx.TimeoutException):
        said = "it did not answer in time"
    else:
        said = str(error) or type(error).__name__
    if "WRONG_VERSION_NUMBER" in said:
        return ClientError(f"The service at {url} does not use TLS: write http:// in its address.")
    return ClientError(
        f"The service at {url} was not reached: {said}. Is it running, and is that its address?"
    )


def not_handled(path: str) -> ClientError:
    """Return the error for a command that the service accepted, half a minute after that."""
    detail = f"The service accepted the command and has not handled it yet: read {path} later."
    return ClientError(detail, status=HTTPStatus.ACCEPTED)


def stream_ended(url: str) -> ClientError:
    """Return the error for an event stream that has ended. It is followed again, unless it had no byte."""
    return ClientError(f"The event stream of {url} ends as soon as it is opened. Is a proxy between?")


def not_understood(url: str, status: int, error: object) -> ClientError:
    """Return the error for an answer that has another form than the API's."""
    detail = (
        f"The answer of {url} was not understood ({error}). Is that the address of a videoanalysis service,"
        " and is the client as new as the service?"
    )
    return ClientError(detail, status=status)


def _no_problem(url: str, status: int, headers: httpx.Headers) -> ClientError:
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    if 300 <= status < 400:
        detail = f"{url} redirects to {headers.get('location', 'nowhere')}. Use that address."
    else:
        detail = (
            f"{url} answered with status {status} {title}".rstrip()
            + " and no explanation, as a proxy does, or a server of something else."
            + " Is that the address of a videoanalysis service?"
        )
    return ClientError(detail, status=status, title=title)
