"""Whether the service can listen on its port."""

import errno
import socket
from typing import NamedTuple

from ...settings import Settings


class ListenFault(NamedTuple):
    """Why the service cannot listen, and what to do. `is_in_use`: another program has the port."""

    text: str
    advice: str
    is_in_use: bool = False


def find_listen_fault(settings: Settings) -> ListenFault | None:
    """Return why the service cannot listen; None if it can, on an address of its host at least."""
    error = _try_to_listen(settings)
    if error is None:
        return None
    place = f"{settings.host}:{settings.port}"
    if error.errno == errno.EADDRINUSE:
        advice = "Stop it, or set VA_PORT to another port."
        return ListenFault(f"Another program uses {place}.", advice, is_in_use=True)
    return ListenFault(
        f"Nothing can listen on {place}: {error.strerror}.",
        "Set VA_HOST to an address of this machine, and VA_PORT to a port that this user may use.",
    )


def _try_to_listen(settings: Settings) -> OSError | None:
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
