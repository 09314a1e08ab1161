"""What the API is given: values known before it starts, and the resources that are opened later."""

from collections.abc import Callable

from anyio import Event
from msgspec import Struct, field

from ..bus import Bus
from ..postgres import Database


def _nothing() -> str | None:
    return None


class ApiOptions(Struct, frozen=True, kw_only=True):
    """Values known before anything is open. Times are in seconds.

    `rate_limit` is requests a second, for each API key; clients on this machine have none. A command that the
    bus has not taken after `publish_wait` is answered with 503; one that is not done `command_wait` after its
    request began, with 202. `heartbeat_timeout` is the one runners are judged by. `waiting_for` says in plain
    words what this process still waits for before it is ready, or None. Setting `shutting_down` ends every
    event stream.
    """

    version: str
    api_keys: tuple[str, ...] = ()
    rate_limit: float = 100.0
    publish_wait: float = 1.2
    command_wait: float = 1.2
    heartbeat_timeout: float = 10.0
    max_streams: int = 100
    keep_alive: float = 15.0
    waiting_for: Callable[[], str | None] = _nothing
    shutting_down: Event = field(default_factory=Event)


class ApiDeps(Struct, frozen=True):
    """What the routes read from and publish to."""

    scenarios: Database
    predictions: Database
    bus: Bus
