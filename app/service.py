"""The composition root: settings → databases → bus → roles → one ASGI application."""

import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from socket import gethostname
from types import MappingProxyType
from uuid import uuid4

import structlog
from anyio import CancelScope, Event, create_task_group, to_thread
from anyio.abc import TaskGroup, TaskStatus
from litestar import Litestar
from msgspec import Struct

from . import __version__, logs
from .api import ApiDeps, ApiOptions, MountedApp, create_app, serve
from .api.databases import open_request_database
from .bus import Bus
from .concurrency.cores import usable_cores
from .detectors.backends.choice import make_backend, make_local_backend
from .detectors.backends.session import Backend, BackendError
from .detectors.onnx.cache import FileCache, ModelCache
from .detectors.remote.servers import InferenceServers
from .domain.channels import Channel, ChannelFileError, parse_channels, type_of
from .domain.detector_config import PLUGINS
from .inference.application import InferenceApp
from .inference.batching import BatchScheduler
from .inference.hosted_model import HostedModel
from .media.uploads import UploadLimits
from .messages import Instance
from .notifier.senders.factory import make_sender
from .notifier.service import NotifiedChannel, Notifier
from .orchestrator import run_orchestrator
from .orchestrator.elector import AlreadyRunningError
from .orchestrator.leases import LeaseTiming
from .postgres import open_planned_once
from .process import configure_process, require_utf8, set_on_termination
from .resources import PREDICTIONS, SCENARIOS, DatabaseSpec, Resources
from .runner.context import RunContext
from .runner.frames.workers import WorkerLanes, Workers
from .runner.service import Runner
from .settings import Role, Settings, SettingsError, load
from .supervision import (
    Asgi,
    StartError,
    Work,
    cancelled_at_exit,
    show_start_errors_in_one_line,
    start_part,
    start_part_in_background,
)
from .waiting_clients import close_waiting_connections

log = structlog.get_logger(__name__)

_ELSEWHERE = "start it in a folder that you may write to, or set VA_MEDIA_ROOT, VA_MODEL_ROOT and VA_DATA_DIR"
SERVED_MODELS = 8  # that an inference server keeps loaded, the last that were asked for


class RoleContext(Struct, frozen=True):
    """What a role is opened with. `stopping` is set when the service is asked to stop.

    `inference` answers the requests of the role of that name. `channels` are those of VA_CHANNELS_FILE.
    """

    settings: Settings
    channels: Mapping[str, Channel]
    resources: Resources
    bus: Bus
    app: Litestar
    stopping: Event
    inference: InferenceApp


async def _open_orchestrator(context: RoleContext) -> Work:
    settings, resources = context.settings, context.resources
    return partial(
        run_orchestrator,
        resources.dsn(SCENARIOS),
        await resources.pool(SCENARIOS, open_planned_once),
        context.bus,
        LeaseTiming(settings.heartbeat_interval, settings.heartbeat_timeout),
        alone=settings.bus == "memory",
        media_root=settings.media_root,
    )


async def _open_api(context: RoleContext) -> Work:
    scenarios, predictions = [
        await context.resources.pool(spec, open_request_database) for spec in (SCENARIOS, PREDICTIONS)
    ]
    deps = ApiDeps(scenarios, predictions, context.bus, context.resources.disk_space)
    return partial(serve, context.app, deps)


async def _open_backend(settings: Settings) -> Backend:
    """Return what computes networks. Raises StartError if VA_INFERENCE names what cannot be used here."""
    cores = usable_cores()
    try:
        backend = await to_thread.run_sync(
            make_backend, settings.inference, settings.inference_precision, cores
        )
    except BackendError as error:
        raise StartError(str(error)) from error
    log.info("inference", backend=backend.name, precision=backend.precision, cores=cores)
    return backend


def _inference_servers(settings: Settings) -> InferenceServers:
    try:
        return InferenceServers(
            settings.source_networks,
            settings.inference_urls,
            settings.inference_key,
            is_backend=settings.inference == "remote",
        )
    except ValueError as error:
        raise StartError(f"VA_INFERENCE_URLS is wrong: {error}") from error


async def _open_runner(context: RoleContext) -> Work:
    settings = context.settings
    runner = Runner(
        Instance(settings.runner_id or f"{gethostname()}:{settings.port}", uuid4()),
        settings.runner_slots,
        context.bus,
        RunContext(
            await context.resources.pool(PREDICTIONS, open_planned_once),
            settings.media_root,
            ModelCache(settings.model_root, await _open_backend(settings)),
            settings.source_networks,
            WorkerLanes(Workers(usable_cores())),
            settings.decoding,
            _inference_servers(settings),
            keeps_evidence=settings.evidence_max_gb > 0,
        ),
        heartbeat_interval=settings.heartbeat_interval,
        live_retention_days=settings.live_retention_days,
        max_evidence=round(settings.evidence_max_gb * 1e9),
    )
    return partial(runner.run, context.stopping)


async def _open_notifier(context: RoleContext) -> Work:
    settings = context.settings
    try:
        channels = {
            name: NotifiedChannel(channel.concurrency, make_sender(name, channel, settings.notify_networks))
            for name, channel in context.channels.items()
        }
    except ChannelFileError as error:
        raise StartError(f"{settings.channels_file}: {error}") from error
    return Notifier(await context.resources.pool(PREDICTIONS), channels, settings.public_url).run


async def _open_inference(context: RoleContext) -> Work:
    settings = context.settings
    models = FileCache(settings.model_root, await _open_backend(settings), HostedModel, recent=SERVED_MODELS)
    return partial(context.inference.serve, models, BatchScheduler(usable_cores(), settings.inference_batch))


RoleOpener = Callable[[RoleContext], Awaitable[Work]]


class RoleSpec(Struct, frozen=True):
    """One role: the databases it needs, and how it is opened; what it returns is its work.

    A role that `drains` ends by itself when the service stops, and the others run until it has ended.
    """

    name: Role
    needs: tuple[DatabaseSpec, ...]
    open: RoleOpener
    drains: bool = False


ROLES = (
    RoleSpec("orchestrator", (SCENARIOS,), _open_orchestrator),
    RoleSpec("api", (SCENARIOS, PREDICTIONS), _open_api),
    RoleSpec("inference", (), _open_inference),
    RoleSpec("notifier", (PREDICTIONS,), _open_notifier),
    RoleSpec("runner", (PREDICTIONS,), _open_runner, drains=True),
)
"""Every role, in the order in which they start."""


class Service:
    """The roles of one process, from the server's start to its end."""

    def __init__(
        self,
        settings: Settings,
        roles: Iterable[RoleSpec] = ROLES,
        channels: Mapping[str, Channel] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._channels = channels
        self._roles = [role for role in roles if role.name in settings.roles]
        self._inference = InferenceApp(__version__, settings.inference_max_body_mb * 2**20)
        self._stopping = Event()
        self._waiting_for: str | None = "the start"

    def application(self) -> Asgi:
        """Return the application; nothing is opened before its lifespan begins."""
        settings = self._settings
        options = ApiOptions(
            version=__version__,
            bus=settings.bus,
            api_keys=settings.api_keys,
            viewer_keys=settings.viewer_keys,
            trust_loopback=settings.trust_loopback,
            path_prefix=settings.path_prefix,
            public_url=settings.public_url,
            rate_limit=settings.rate_limit,
            heartbeat_timeout=settings.heartbeat_timeout,
            media_root=settings.media_root,
            uploads=UploadLimits(settings.upload_max_gb, settings.upload_min_free_gb)
            if settings.takes_uploads
            else None,
            source_networks=settings.source_networks,
            model_root=settings.model_root,
            open_backend=partial(
                make_local_backend, settings.inference, settings.inference_precision, usable_cores()
            ),
            channels={name: type_of(channel) for name, channel in self._channels.items()},
            waiting_for=lambda: self._waiting_for,
            shutting_down=self._stopping,
            mounted=self._mounted() if "inference" in settings.roles else None,
        )
        return create_app(options, lifespan=[self.lifespan], has_resources="api" in settings.roles)

    def _mounted(self) -> MountedApp:
        key = self._settings.inference_key
        return MountedApp(
            path="/v2",
            app=self._inference,
            refuse=self._inference.refuse,
            keys=() if key is None else (key,),
            variable="VA_INFERENCE_KEY",
        )

    @asynccontextmanager
    async def lifespan(self, app: Litestar) -> AsyncGenerator[None, None]:
        """Run the roles during the block. Raises StartError."""
        with set_on_termination(self._stopping):
            async with create_task_group() as group:
                work = partial(self._run, app)
                if self._settings.bus == "memory":
                    await self._start(group, work)
                else:  # other processes may start later, so the server answers while this one waits for them
                    start_part_in_background(group, "service", work)
                yield
                self._stopping.set()
                if self._waiting_for is not None:
                    group.cancel_scope.cancel()

    async def _start(self, group: TaskGroup, work: Work) -> None:
        """Return when the service is ready. Raises StartError if it cannot start or is stopped before."""
        async with cancelled_at_exit() as watching:
            watching.start_soon(self._cancel_when_stopped, watching.cancel_scope)
            await start_part(group, "service", work)
        if self._waiting_for is not None:
            raise StartError(f"stopped while it waited for {self._waiting_for}")

    async def _cancel_when_stopped(self, scope: CancelScope) -> None:
        await self._stopping.wait()
        scope.cancel()

    async def _run(self, app: Litestar, *, task_status: TaskStatus[None]) -> None:
        """Open what the roles need and start them; when the service stops, end the last opened first.

        Raises StartError.
        """
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            resources = Resources(self._settings, stack, self._wait_for)
            await resources.prepare_databases(spec for role in self._roles for spec in role.needs)
            bus = await resources.bus()
            self._wait_for("the roles")
            context = RoleContext(
                self._settings, self._channels, resources, bus, app, self._stopping, self._inference
            )
            work = {role: await role.open(context) for role in self._roles}
            others = await stack.enter_async_context(cancelled_at_exit())
            # Left first, and only when its roles have ended: the others must still hear what they report.
            draining = await stack.enter_async_context(create_task_group())
            for role in self._roles:
                try:
                    await start_part(draining if role.drains else others, role.name, work[role])
                except AlreadyRunningError as error:
                    raise StartError(str(error)) from error
            self._waiting_for = None
            self._log_ready(time.monotonic() - began)
            task_status.started()
            await self._stopping.wait()

    def _wait_for(self, what: str) -> None:
        self._waiting_for = what

    def _log_ready(self, seconds: float) -> None:
        settings = self._settings
        where = {"pages": f"{settings.address}/"} if "api" in settings.roles else {}
        if settings.roles != {"inference"}:  # which has neither
            where |= {"bus": settings.bus, "data": str(settings.data_dir.resolve())}
        roles = ",".join(sorted(settings.roles))
        log.info("ready", **where, roles=roles, cores=usable_cores(), seconds=round(seconds, 1))
        if self._channels and settings.bus == "memory" and "notifier" not in settings.roles:
            log.warning("nothing is sent to channels by this process: VA_ROLES lacks notifier")
        for fault in PLUGINS.faults.values():
            log.error("a plug-in is left out", fault=fault)


def create(roles: Iterable[RoleSpec] = ROLES, dotenv: Path = Path(".env")) -> Asgi:
    """Build the application from the environment and the file `dotenv`, and configure this process for it.

    Exits the process with one line if a setting is wrong, or file names are not in UTF-8.
    """
    require_utf8()
    try:
        settings = load(os.environ, dotenv)
        for folder in (settings.media_root, settings.model_root):
            folder.mkdir(parents=True, exist_ok=True)
        channels = _read_channels(settings)
    except (SettingsError, ChannelFileError) as error:
        sys.exit(f"videoanalysis: {error}")
    except OSError as error:
        sys.exit(f"videoanalysis: the folder {error.filename} cannot be made: {error.strerror}; {_ELSEWHERE}")
    configure_process()
    secrets = [secret for channel in channels.values() for secret in channel.secrets()]
    logs.configure(settings.log_format, settings.log_level, [*settings.secrets(), *secrets])
    app = show_start_errors_in_one_line(Service(settings, roles, channels).application())
    return close_waiting_connections(app)


def _read_channels(settings: Settings) -> dict[str, Channel]:
    """Return the channels that this process needs. Raises SettingsError and ChannelFileError."""
    path = settings.channels_file
    if path is None or not settings.roles & {"api", "notifier"}:
        return {}
    try:
        return parse_channels(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"VA_CHANNELS_FILE={path} cannot be read: {error}") from error
