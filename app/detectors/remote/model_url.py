"""The address of a model on an inference server."""

from urllib.parse import urlsplit

from msgspec import Struct

_PORTS = {"http": 80, "https": 443}


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
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not the http or https address of a server")
    return ServerAddress(
        parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme], parts.path.rstrip("/")
    )


def parse_model(url: str) -> ModelAddress:
    """Return the model at a URL such as `https://gpu:8000/v2/models/yolo`. Raises ValueError."""
    server, found, rest = url.partition("/v2/models/")
    if not found or not rest:
        raise ValueError(f"{url!r} names no model: write it as http://host:port/v2/models/name")
    return ModelAddress(parse_server(server), f"{found}{rest}")
