"""What the service talks to besides its databases: the bus, its port, and who is told of events."""

from collections.abc import AsyncIterator

import httpx
import msgspec
from anyio import to_thread

from ...api.routes.health import Readiness
from ...bus import BusError
from ...bus.kafka.connection import client_options, connect_admin
from ...domain.channels import ChannelFileError, parse_channels
from ...resources import kafka_security
from ...settings import Settings
from .finding import Finding, sentence
from .listening import find_listen_fault
from .own_service import find_own_service

_TIMEOUT = 5.0  # seconds


async def check_bus(settings: Settings) -> AsyncIterator[Finding]:
    """Yield whether a broker answers, if there must be one."""
    if settings.bus == "memory":
        yield Finding("bus", "ok", "in this process: no broker is needed")
        return
    servers = settings.kafka_bootstrap_servers
    try:
        options = client_options(servers, "videoanalysis-doctor", kafka_security(settings))
        admin = await connect_admin(options, timeout=0)
    except BusError as error:
        yield Finding("bus", "fail", sentence(error))
        return
    await admin.close()
    yield Finding("bus", "ok", f"Kafka answers at {', '.join(servers)}")


async def check_port(settings: Settings) -> AsyncIterator[Finding]:
    """Yield whether the service can listen, or does already."""
    place = f"{settings.host}:{settings.port}"
    fault = await to_thread.run_sync(find_listen_fault, settings)
    if fault is not None and not fault.is_in_use:
        yield Finding("port", "fail", fault.text, fault.advice)
        return
    readiness = None if fault is None else await _ask(settings)
    if fault is not None and readiness is None:
        yield Finding("port", "fail", fault.text, fault.advice)
        return
    if readiness is not None and not readiness.ready:
        text = f"The service at {settings.address} waits for {', '.join(readiness.waiting_for)}."
        yield Finding("port", "warn", text, "See its log.")
        return
    own = await find_own_service(settings)
    elsewhere = own.port if own is not None and own.port != settings.port else None
    if fault is None:
        if elsewhere is None:
            yield Finding("port", "ok", f"{place} is free")
        else:
            text = f"{place} is free, but the service of these settings runs on port {elsewhere}."
            yield Finding("port", "warn", text, "Use it there, or stop it before you start one here.")
    elif elsewhere is not None:
        here = f"The service at {settings.address} is another one"
        text = f"{here}: that of these settings runs on port {elsewhere}."
        yield Finding("port", "fail", text, "Use it there, or stop it and set VA_PORT to another port.")
    elif own is not None and not own.is_running:
        text = f"The service at {settings.address} is another one: none runs on the database of this one."
        yield Finding("port", "fail", text, fault.advice)
    else:
        yield Finding("port", "ok", f"a service runs at {settings.address}, and is ready")


async def _ask(settings: Settings) -> Readiness | None:
    """Return what the service on the port says, None if it is another program."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False) as client:
            answer = await client.get(f"http://{host}:{settings.port}/health/ready")
        return msgspec.json.decode(answer.content, type=Readiness)
    except (httpx.HTTPError, msgspec.DecodeError, UnicodeDecodeError):
        return None


async def check_channels(settings: Settings) -> AsyncIterator[Finding]:
    """Yield whether the file of channels can be used, if there is one."""
    file = settings.channels_file
    if file is None:
        return
    try:
        text = await to_thread.run_sync(file.read_text, "utf-8")
        channels = parse_channels(text, str(file))
    except (OSError, UnicodeDecodeError, ChannelFileError) as error:
        yield Finding("channels", "fail", sentence(error), "Correct the file of VA_CHANNELS_FILE.")
        return
    yield Finding("channels", "ok", f"{', '.join(sorted(channels)) or 'none'} in {file}")
