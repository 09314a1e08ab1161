"""What the API is given: options known before it starts, and resources that are opened later."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from anyio import Event
from msgspec import Struct, field

from ..bus import Bus
from ..detectors.backends.onnx_runtime import OnnxRuntime
from ..detectors.backends.session import Backend
from ..domain.networks import Networks
from ..media.uploads import UploadLimits
from ..postgres import Database
from ..postgres.embedded.disk_space import DiskSpace


def _always_ready() -> str | None:
    return None


class MountedApp(Struct, frozen=True):
    """An ASGI application that answers the requests below a path, with keys of its own.

    `variable` is the setting of its keys. `refuse(send, status, text, headers)` answers in its own form a
    request that must not reach it.
    """

    path: str
    app: Callable[[Any, Any, Any], Awaitable[None]]
    refuse: Callable[[Any, int, str, dict[str, str]], Awaitable[None]]
    keys: tuple[str, ...]
    variable: str

    def has(self, path: str) -> bool:
        """Return whether it answers this path."""
        return path == self.path or path.startswith(f"{self.path}/")


class ApiOptions(Struct, frozen=True, kw_only=True):
    """Options that are known before any resource is open. Times are in seconds.

    `viewer_keys`: with which one may only look. `trust_loopback`: clients with a loopback address need no key
    although there are keys.
    `path_prefix`: what a proxy removes from the path of each request, such as `/video`; empty for nothing.
    `public_url`: the address that browsers use; empty if it is the one that they name in `Host`.
    `rate_limit`: requests a second for each API key; clients that need no key have no limit.
    `publish_wait`: a command that the bus has not taken by then is answered with 503.
    `command_wait`: a command that is not handled by then, counted from the request, is answered with 202.
    `heartbeat_timeout`: a runner without a heartbeat for longer is shown as silent.
    `keep_alive`: the longest silence of an event stream; then a comment is sent.
    `uploads`: what uploads to `media_root` may take; None: there are none.
    `media_root`: the folder of recordings. `source_networks`: where else they may be.
    `model_root`: the folder of models. `open_backend`: returns what computes them, called in a thread.
    `channels`: the type of each channel that a scenario may notify, by name.
    `waiting_for`: returns what this process still waits for before it is ready, in plain words, or None.
    `shutting_down`: ends every event stream when it is set.
    `mounted`: answers the requests below its path, to which `rate_limit` does not apply.
    """

    version: str
    bus: Literal["memory", "kafka"] = "memory"
    api_keys: tuple[str, ...] = ()
    viewer_keys: tuple[str, ...] = ()
    trust_loopback: bool = False
    path_prefix: str = ""
    public_url: str = ""
    rate_limit: float = 100.0
    publish_wait: float = 1.2
    command_wait: float = 1.2
    heartbeat_timeout: float = 10.0
    max_streams: int = 100
    keep_alive: float = 15.0
    media_root: Path = Path("media")
    uploads: UploadLimits | None = None
    source_networks: Networks = Networks("")
    model_root: Path = Path("models")
    open_backend: Callable[[], Backend] = OnnxRuntime
    channels: Mapping[str, str] = {}
    waiting_for: Callable[[], str | None] = _always_ready
    shutting_down: Event = field(default_factory=Event)
    mounted: MountedApp | None = None


class ApiDeps(Struct, frozen=True):
    """The resources that routes read from and publish to. `disk_space` is the embedded server's, if any."""

    scenarios: Database
    predictions: Database
    bus: Bus
    disk_space: DiskSpace | None = None

    def full_since(self) -> datetime | None:
        """Return since when the databases have no space left, or None if they have or it is unknown."""
        return None if self.disk_space is None else self.disk_space.full_since()
