"""Where the service is, and the key for it."""

import os
from ipaddress import ip_address

import httpx

from .errors import ClientError

URL_VARIABLE, KEY_VARIABLE = "VIDEOANALYSIS_URL", "VIDEOANALYSIS_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"


class Address:
    """The service's address, without a slash at its end, and what each request to it has.

    Raises:
        ClientError: it is no http address, or the key cannot be in a header
    """

    def __init__(self, url: str | None, api_key: str | None) -> None:
        self.url = (url or os.environ.get(URL_VARIABLE) or DEFAULT_URL).strip().rstrip("/")
        key = (api_key or os.environ.get(KEY_VARIABLE) or "").strip()
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL as error:
            raise ClientError(f"What is given for the service is no address: {error}.") from error
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ClientError(f"{self.url!r} is no address of a service: write it as in {DEFAULT_URL}.")
        if not (key.isascii() and key.isprintable()):
            raise ClientError("The API key has characters that no key has.")
        self.shown = self.url if not parsed.userinfo else str(parsed.copy_with(userinfo=b"")).rstrip("/")
        """The address without a login, for people."""
        self.headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self.uses_tls = parsed.scheme == "https"
        """Whether certificates are needed: to read those of this machine takes 40 ms (measured)."""
        self.uses_proxy = not _is_loopback(parsed.host)
        """Whether a proxy of the environment is used: none reaches this machine's own addresses."""

    def join(self, path: str) -> str:
        """Return the address of a path below the service's."""
        return f"{self.url}/{path}"


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
