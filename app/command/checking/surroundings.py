"""What the service talks to besides its databases: the bus, its port, and who is told of events."""

import errno
import socket
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
    fault = await to_thread.run_sync(_try_to_listen, settings)
    if fault is None:
        yield Finding("port", "ok", f"{settings.host}:{settings.port} is free")
        return
    if fault.errno != errno.EADDRINUSE:
        text = f"Nothing can listen on {settings.host}:{settings.port}: {fault.strerror}."
        advice = "Set VA_HOST to an address of this machine, and VA_PORT to a port that this user may use."
        yield Finding("port", "fail", text, advice)
        return
    readiness = await _ask(settings)
    if readiness is None:
        text = f"Another program uses {settings.host}:{settings.port}."
        yield Finding("port", "fail", text, "Stop it, or set VA_PORT to another port.")
    elif readiness.ready:
        yield Finding("port", "ok", f"a service runs at {settings.address}, and is ready")
    else:
        text = f"The service at {settings.address} waits for {', '.join(readiness.waiting_for)}."
        yield Finding("port", "warn", text, "See its log.")


def _try_to_listen(settings: Settings) -> OSError | None:
    """Return why the service cannot listen; None if it can, on an address of its host at least."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except OSError as error:
        return error
    faults = []
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return error
            faults.append(error)
    return faults[0] if len(faults) == len(found) else None


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
