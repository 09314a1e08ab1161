"""One inference server over HTTP: bounded in time and bytes, allowed addresses only, no redirects."""

import asyncio
import os
import ssl
from functools import cache, partial
from time import monotonic
from typing import NamedTuple

import httpx

from ... import addresses
from ...concurrency.threads import in_daemon_thread
from ...domain.networks import Networks
from ..oip.datatypes import ProtocolError
from ..oip.framing import JSON_LENGTH_HEADER, Body, parse_json_length
from .faults import AwayError, WrongAnswerError
from .model_url import ServerAddress

MAX_METADATA = 2**20  # bytes
MAX_ANSWER = 64 * 2**20  # bytes
CONNECT_SECONDS = 5.0
METADATA_SECONDS = 10.0

RESOLVE_SECONDS = 30.0

_KEEP_ALIVE = 4.0  # seconds: servers close idle connections after 5 or more
_MOST_ADDRESSES = 4  # of one name that are tried


class HttpAnswer(NamedTuple):
    """What a server answered."""

    status: int
    body: Body


class HttpServer:
    """Sends requests to one server. Only the network loop's thread may call its methods.

    Its name is resolved after a failure, and every RESOLVE_SECONDS. If it has several addresses, requests go
    to each in turn: they are taken for servers that share the work. Without `networks`, every
    address is allowed. Proxies are not used, because a proxy would decide which address a request reaches.
    """

    def __init__(self, address: ServerAddress, networks: Networks | None, key: str | None) -> None:
        self.address = address
        self._networks = networks
        self._headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        if key is not None:
            self._headers["Authorization"] = f"Bearer {key}"
        self._hosts: list[str] = []
        self._resolved_at = 0.0
        # Each does one request at a time. One that failed is not used again: the pool of httpx keeps the
        # connections of some requests that were cancelled, and all later ones would wait for them.
        self._clients: list[httpx.AsyncClient] = []
        self._closing: set[asyncio.Task[None]] = set()
        self.is_used = False
        """Whether there may be anything to close."""

    async def get(self, path: str) -> HttpAnswer:
        """Ask for what is at a path. Raises AwayError and WrongAnswerError."""
        return await self._ask("GET", path, None, METADATA_SECONDS, MAX_METADATA)

    async def post(self, path: str, body: Body, timeout: float) -> HttpAnswer:
        """Send a body to a path. Raises AwayError and WrongAnswerError."""
        return await self._ask("POST", path, body, timeout, MAX_ANSWER)

    async def close(self) -> None:
        """Close the connections."""
        while self._clients:
            await self._clients.pop().aclose()

    async def _ask(self, method: str, path: str, body: Body | None, timeout: float, most: int) -> HttpAnswer:
        try:
            async with asyncio.timeout(timeout):
                return await self._try_hosts(method, path, body, most)
        except TimeoutError:
            self._hosts = []
            raise AwayError(f"does not answer within {timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            self._hosts = []
            raise AwayError(_in_words(error)) from error
        except AwayError:
            self._hosts = []
            raise

    async def _try_hosts(self, method: str, path: str, body: Body | None, most: int) -> HttpAnswer:
        if not self._hosts or monotonic() > self._resolved_at + RESOLVE_SECONDS:
            self._hosts, self._resolved_at = await self._resolve(), monotonic()
        while self._hosts:
            host = self._hosts.pop(0)
            self._hosts.append(host)
            try:
                return await self._send(host, method, path, body, most)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if host in self._hosts:
                    self._hosts.remove(host)
                if not self._hosts:
                    raise
        raise AwayError("has no address")

    async def _resolve(self) -> list[str]:
        networks = self._networks or Networks("public,private,loopback,0.0.0.0/0,::/0")
        find = partial(addresses.resolve, networks, self.address.host, self.address.port)
        try:
            found = await in_daemon_thread("resolve", find)
        except OSError as error:
            raise AwayError(f"has no address: {error.strerror or error}") from error
        if found.forbidden is not None and not found.allowed:
            ip, kind = found.forbidden
            also = f", or {kind} to VA_SOURCE_NETWORKS" if kind else ""
            raise AwayError(f"is at {ip}, which is not allowed: add the server to VA_INFERENCE_URLS{also}")
        return [str(address[0]) for _, address in found.allowed[:_MOST_ADDRESSES]]

    async def _send(self, host: str, method: str, path: str, body: Body | None, most: int) -> HttpAnswer:
        self.is_used = True
        client = self._clients.pop() if self._clients else _make_client()
        try:
            answer = await self._send_by(client, host, method, path, body, most)
        except BaseException:
            closing = asyncio.create_task(client.aclose())  # this task may be cancelled once more
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            raise
        self._clients.append(client)
        return answer

    async def _send_by(
        self, client: httpx.AsyncClient, host: str, method: str, path: str, body: Body | None, most: int
    ) -> HttpAnswer:
        address = self.address
        shown = f"[{host}]" if ":" in host else host
        request = client.build_request(
            method,
            f"{address.scheme}://{shown}:{address.port}{address.prefix}{path}",
            content=None if body is None else body.content,
            headers={
                **self._headers,
                **({} if body is None else body.headers),
                "Host": address.place,
            },
            extensions={"sni_hostname": address.host},
        )
        try:
            response = await client.send(request, stream=True)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            # A connection that was kept may have been closed just now; inference is safe to repeat.
            response = await client.send(request, stream=True)
        try:
            return HttpAnswer(response.status_code, await _read(response, most))
        finally:
            await response.aclose()


async def _read(response: httpx.Response, most: int) -> Body:
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        raise WrongAnswerError(f"answers in the encoding {coding[:20]!r}, which nobody asked for")
    too_long = WrongAnswerError(f"answers with more than {most >> 20} MiB")
    if int(response.headers.get("Content-Length", 0)) > most:
        raise too_long
    content = bytearray()
    async for part in response.aiter_raw():
        content += part
        if len(content) > most:
            raise too_long
    length: str | None = response.headers.get(JSON_LENGTH_HEADER)
    return Body(bytes(content), _json_length(length))


def _json_length(header: str | None) -> int | None:
    try:
        return parse_json_length(header)
    except ProtocolError as error:
        raise WrongAnswerError(str(error)) from error


def _make_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        verify=_tls_context(),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE),
    )


@cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _in_words(error: Exception) -> str:
    """Return what went wrong, to follow the server's address in a sentence."""
    match error:
        case httpx.ConnectTimeout():
            return f"does not accept connections within {CONNECT_SECONDS:g} s"
        case httpx.ConnectError():
            return f"cannot be reached: {_cause(error)}"
        case httpx.RemoteProtocolError():
            return f"broke off its answer, or sent no HTTP: {_cause(error)}"
        case httpx.HTTPError():
            return f"lost the connection: {_cause(error)}"
        case _:
            return f"cannot be asked: {_cause(error)}"


def _cause(error: Exception) -> str:
    """Return the system's text of an error, or else its own, as one short line."""
    told: BaseException | None = error
    while told is not None:
        if isinstance(told, OSError) and told.errno and not isinstance(told, ssl.SSLError):
            return os.strerror(told.errno).lower()
        inner = told.exceptions[0] if isinstance(told, BaseExceptionGroup) else None
        told = inner or told.__cause__ or told.__context__
    return " ".join((str(error) or repr(error)).split())[:200]


def status_in_words(status: int, told: str) -> str:
    """Return what a status other than success means, to follow the server's address in a sentence."""
    said = f": {told.removesuffix('.')}" if told else ""  # the caller ends the sentence
    match status:
        case 401 | 403:
            return (
                f"refuses the key ({status}): set VA_INFERENCE_KEY, and name the server in VA_INFERENCE_URLS"
            )
        case 404:
            return f"has no such model (404){said}"
        case _ if 300 <= status < 400:
            return f"redirects ({status}), which is not followed: name the final address"
        case _:
            return f"answers with status {status}{said}"
