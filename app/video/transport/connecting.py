"""Connect to a source's host, and only to addresses that sources may have."""

import socket
import time

from ... import addresses
from ...addresses import SocketAddress
from ...domain.networks import Networks
from ..errors import ForbiddenAddressError

_MAX_ADDRESSES = 8  # that are tried for one host name


def connect(networks: Networks, host: str, port: int, timeout: float) -> socket.socket:
    """Resolve a host once, and connect to the first of its addresses on `networks` that accepts.

    Takes at most about `timeout` seconds, beside the time of the resolver. The connection has `timeout` as
    its timeout for each read and write.

    Raises:
        ForbiddenAddressError: the host has addresses, but none on `networks`.
        OSError: the host has no address, or none of them accepts.
    """
    found = resolve(networks, host, port)[:_MAX_ADDRESSES]
    deadline = time.monotonic() + timeout
    fault: OSError | None = None
    for number, (family, address) in enumerate(found):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            # Divide the time that is left, so that an address that does not answer leaves some to the others.
            share = (deadline - time.monotonic()) / (len(found) - number)
            connection.settimeout(max(share, 0.1))
            connection.connect(address)
        except OSError as error:
            connection.close()
            fault = error
        else:
            connection.settimeout(timeout)
            return connection
    raise fault or OSError(f"{host} has no address")


def resolve(networks: Networks, host: str, port: int) -> list[tuple[int, SocketAddress]]:
    """Return the family and socket address of each of a host's addresses on `networks`.

    Raises:
        ForbiddenAddressError: the host has addresses, but none on `networks`.
        OSError: there is no such host.
    """
    found = addresses.resolve(networks, host, port)
    if found.forbidden is not None and not found.allowed:
        ip, kind = found.forbidden
        hint = f": add {kind} to VA_SOURCE_NETWORKS to allow such addresses" if kind else ""
        raise ForbiddenAddressError(f"{ip} is not an address that sources may have{hint}")
    return found.allowed
