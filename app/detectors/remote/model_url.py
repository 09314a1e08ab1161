"""The address of a model on an inference server."""

import re
from pathlib import PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from msgspec import Struct

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[A-Za-z0-9._~%:-]+")


class ServerAddress(Struct, frozen=True):
    """An inference server. `prefix` is what comes before `/v2` in its paths, such as `/gpu`, or empty."""

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @property
    def place(self) -> str:
        """Host and port, as in a URL and in the header Host."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}{self.prefix}"


class ModelAddress(Struct, frozen=True):
    """A model on a server. `path` begins with `/v2/models/`."""

    server: ServerAddress
    path: str

    def __str__(self) -> str:
        return f"{self.server}{self.path}"


def parse_server(url: str) -> ServerAddress:
    """Return the server at a URL without `/v2`. Raises ValueError."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError(f"{url!r} is not the http or https address of a server, in ASCII")
    prefix = parts.path.rstrip("/")
    _check_path(prefix, url)
    if prefix.endswith("/v2"):
        raise ValueError(f"{url!r} must be without /v2, which is added to it")
    return ServerAddress(parts.scheme, str(parts.hostname), parts.port or _PORTS[parts.scheme], prefix)


def parse_model(url: str) -> ModelAddress:
    """Return the model at a URL such as `https://gpu:8000/v2/models/yolo`. Raises ValueError."""
    server, found, rest = url.partition("/v2/models/")
    if not found or not rest:
        raise ValueError(f"{url!r} names no model: write it as http://host:port/v2/models/name")
    _check_path(rest, url)
    return ModelAddress(parse_server(server), f"{found}{rest}")


def model_at(server: ServerAddress, name: str) -> ModelAddress:
    """Return the model in the file `name` of one of the service's own servers. Raises ValueError."""
    path = PurePosixPath(name)
    if path.is_absolute():
        raise ValueError(f"{name!r} must be relative to the model folder")
    _check_path(str(path), name)
    return ModelAddress(server, f"/v2/models/{quote(str(path))}")


def _check_path(path: str, shown: str) -> None:
    """Raise ValueError if a part of a path stands for another: the key would go to another place."""
    if not {".", ".."}.isdisjoint(unquote(path).split("/")):
        raise ValueError(f"{shown!r} must have no part that is . or ..")
