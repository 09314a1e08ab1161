"""Connect to a source's host, and only to addresses that sources may have."""

import socket
import time
from ipaddress import ip_address
from typing import TypeAlias

from ...domain.networks import IpAddress, Networks, destination, network_kind
from ..errors import ForbiddenAddressError

_SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

_MAX_ADDRESSES = 8  # that are tried for one host name


def connect(networks: Networks, host: str, port: int, timeout: float) -> socket.socket:
    """Resolve a host once, and connect to the first of its addresses on `networks` that accepts.

    Takes at most about `timeout` seconds, beside the time of the resolver. The connection has `timeout` as
    its timeout for each read and write.

    Raises:
        ForbiddenAddressError: the host has addresses, but none on `networks`.
        OSError: the host has no address, or none of them accepts.
    """
    addresses = resolve(networks, host, port)[:_MAX_ADDRESSES]
    deadline = time.monotonic() + timeout
    fault: OSError | None = None
    for number, (family, address) in enumerate(addresses):
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            # Divide the time that is left, so that an address that does not answer leaves some to the others.
            share = (deadline - time.monotonic()) / (len(addresses) - number)
            connection.settimeout(max(share, 0.1))
            connection.connect(address)
        except OSError as error:
            connection.close()
            fault = error
        else:
            connection.settimeout(timeout)
            return connection
    raise fault or OSError(f"{host} has no address")


def resolve(networks: Networks, host: str, port: int) -> list[tuple[int, _SocketAddress]]:
    """Return the family and socket address of each of a host's addresses on `networks`.

    Connect to these and not to the name: its addresses may be others when it is resolved again.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (UnicodeError, OverflowError):  # a label that is too long, a port that is too large
        raise OSError("no such host or port") from None
    allowed: list[tuple[int, _SocketAddress]] = []
    forbidden: IpAddress | None = None
    for family, _, _, _, address in found:
        ip = destination(ip_address(address[0]))
        if ip in networks:
            allowed.append((family, address))
        else:
            forbidden = ip
    if forbidden is not None and not allowed:
        kind = network_kind(forbidden)
        hint = f": add {kind} to VA_SOURCE_NETWORKS if sources may be there" if kind else ""
        raise ForbiddenAddressError(f"{forbidden} is not an address that sources may have{hint}")
    return allowed
