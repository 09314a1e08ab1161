"""Webhooks as Standard Webhooks defines them: a signed POST, acknowledged by a status from 200 to 299."""

import hmac
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from ... import __version__
from ...domain.channels import WebhookChannel
from ...domain.networks import Networks
from ..notification import OutgoingMessage
from .base import SendError
from .targets import resolve
from .tls import tls_fault

CONNECT_SECONDS = 5.0
LONGEST_RETRY_AFTER = 600.0  # seconds

_REJECTIONS = frozenset(
    [
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    ]
)
"""Statuses that say that the message is at fault. With others, such as 401 and 404, the channel is."""


class WebhookSender:
    """Sends each message over a connection of its own. No proxy is used, and no redirect is followed."""

    def __init__(self, channel: WebhookChannel, networks: Networks) -> None:
        self._key = channel.signing_key()
        self._networks = networks
        self._ca_file = channel.ca_file
        self._url = httpx.URL(channel.url)
        parts = urlsplit(channel.url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._place = parts.netloc

    async def send(self, message: OutgoingMessage) -> None:
        """Post the message to the first address that accepts a connection. Raises SendError."""
        hosts = await resolve(self._networks, self._host, self._port)
        for host in hosts:
            try:
                return await self._post(host, message)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if host == hosts[-1]:
                    raise SendError(_in_words(error)) from error
            except (httpx.HTTPError, httpx.StreamError, OSError) as error:
                raise SendError(_in_words(error)) from error
        raise SendError("has no address")

    async def close(self) -> None:
        """Do nothing: each request closes its connection."""

    async def _post(self, host: str, message: OutgoingMessage) -> None:
        async with (
            httpx.AsyncClient(
                verify=_tls_context(self._ca_file),
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),  # the notifier bounds the rest
            ) as client,
            client.stream(
                "POST",
                self._url.copy_with(host=host),
                content=message.body,
                headers={"Host": self._place, **_headers(message, self._key)},
                extensions={"sni_hostname": self._host},
            ) as response,
        ):
            _check(response.status_code, response.headers)  # the body of the answer is not read


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the value of the header webhook-signature."""
    content = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{b64encode(hmac.digest(key, content, 'sha256')).decode()}"


def _headers(message: OutgoingMessage, key: bytes) -> dict[str, str]:
    now = int(time.time())
    return {
        "Content-Type": "application/json",
        "User-Agent": f"videoanalysis/{__version__}",
        "webhook-id": str(message.id),
        "webhook-timestamp": str(now),
        "webhook-signature": sign(key, str(message.id), now, message.body),
    }


def _check(status: int, headers: Mapping[str, str]) -> None:
    """Raise SendError if the status is no success."""
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise SendError(f"redirects ({status}), which is not followed: name the final address")
    wanted = headers.get("Retry-After", "")
    raise SendError(
        f"answers with status {status}",
        is_rejected=status in _REJECTIONS,
        retry_after=min(float(wanted), LONGEST_RETRY_AFTER) if wanted.isdecimal() else 0.0,
    )


def _in_words(error: Exception) -> str:
    """Return what went wrong, without the address, a part of which may be secret."""
    match error:
        case httpx.ConnectTimeout():
            return f"does not accept connections within {CONNECT_SECONDS:g} s"
        case httpx.ConnectError() if (fault := tls_fault(error)) is not None:
            return fault
        case httpx.ConnectError():
            return "does not accept connections"
        case httpx.RemoteProtocolError():
            return "broke off its answer, or sent no HTTP"
        case _:
            return "closed the connection before it answered"


@cache
def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file)
