"""The inference servers that the runs of a process use."""

from collections.abc import Iterable
from contextlib import suppress
from threading import Lock

from ...domain.networks import Networks
from .endpoint import Endpoint
from .http_server import HttpServer
from .model_url import ModelAddress, ServerAddress, parse_server
from .network_loop import NetworkLoop


class InferenceServers:
    """Shares endpoints between runs, so that a server that is away is asked by one of them at a time.

    `trusted` are the operator's servers (VA_INFERENCE_URLS): they may have any address, and they alone are
    sent the key. The others, which users name, must be on `networks`.
    """

    def __init__(
        self,
        networks: Networks,
        trusted: Iterable[str] = (),
        key: str | None = None,
        *,
        is_backend: bool = False,
    ) -> None:
        self._networks = networks
        self._trusted = tuple(map(parse_server, trusted))
        self.backend = self._trusted if is_backend else ()
        """The servers that compute the models of other detectors, too; none if that is done here."""
        self._key = key
        self._lock = Lock()
        self._endpoints: dict[ModelAddress, Endpoint] = {}
        self._servers: dict[ServerAddress, HttpServer] = {}
        self.loop = NetworkLoop()

    def acquire(self, address: ModelAddress) -> Endpoint:
        """Return the endpoint at an address. Each call needs one of `release`."""
        with self._lock:
            endpoint = self._endpoints.get(address)
            if endpoint is None:
                endpoint = self._endpoints[address] = Endpoint(address, self._server(address.server))
            endpoint.users += 1
            return endpoint

    def release(self, endpoint: Endpoint) -> None:
        """Forget the endpoint, and close its server's connections, if nobody else uses it."""
        with self._lock:
            endpoint.users -= 1
            if endpoint.users:
                return
            del self._endpoints[endpoint.address]
            server = endpoint.server
            if all(other.server is not server for other in self._endpoints.values()):
                del self._servers[server.address]
                self._disconnect(server)

    def close(self) -> None:
        """Close all connections, and end the thread for requests. Those that are under way fail."""
        with self._lock:
            for server in self._servers.values():
                self._disconnect(server)
        self.loop.close()

    def _disconnect(self, server: HttpServer) -> None:
        if server.is_used:
            with suppress(RuntimeError):  # the thread has ended, and the connections with it
                self.loop.submit(server.close())

    def _server(self, address: ServerAddress) -> HttpServer:
        server = self._servers.get(address)
        if server is None:
            is_trusted = address in self._trusted
            server = self._servers[address] = HttpServer(
                address, None if is_trusted else self._networks, self._key if is_trusted else None
            )
        return server
