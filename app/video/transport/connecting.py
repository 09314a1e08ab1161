"""Connect to a source's host, and only to addresses that sources may have."""

import socket
import time
from ipaddress import ip_address
from typing import TypeAlias

from ...domain.networks import IpAddress, NetworkKind, Networks, destination, network_kind
from ..errors import ForbiddenAddressError

_SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

_MAX_ADDRESSES = 8  # that are tried for one host name
_NOBODYS = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}  # addresses for examples, by version


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

    Connect to these and not to the name: its addresses may be others when it is resolved again. An IPv6
    address may have a zone, as in `fe80::1%25eth0`.
    """
    if ":" in host:
        host = host.replace("%25", "%")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (UnicodeError, OverflowError):  # a label that is too long, a port that is too large
        raise OSError("no such host or port") from None
    allowed: list[tuple[int, _SocketAddress]] = []
    forbidden: tuple[IpAddress, NetworkKind | None] | None = None
    for family, _, _, _, address in found:
        ip = destination(ip_address(address[0]))
        kind = network_kind(ip)
        if not ip.is_multicast and is_own_address(ip):
            kind = "loopback"
        if networks.allows(ip, kind):
            allowed.append((family, address))
        else:
            forbidden = ip, kind
    if forbidden is not None and not allowed:
        ip, kind = forbidden
        hint = f": add {kind} to VA_SOURCE_NETWORKS if sources may be there" if kind else ""
        raise ForbiddenAddressError(f"{ip} is not an address that sources may have{hint}")
    return allowed


def is_own_address(ip: IpAddress) -> bool:
    """Return whether an address is this machine's: a socket can be bound to it."""
    if not _can_bind(ip):
        return False
    if not _can_bind(_NOBODYS[ip.version]):
        return True
    # Linux may be set to bind to any address. But to reach itself, it uses the same address as the source.
    with _socket_for(ip) as probe:
        try:
            probe.connect((str(ip), 9))  # sends nothing
        except OSError:
            return False
        return ip_address(probe.getsockname()[0]) == ip


def _can_bind(ip: IpAddress) -> bool:
    with _socket_for(ip) as probe:
        try:
            probe.bind((str(ip), 0))
        except OSError:
            return False
    return True


def _socket_for(ip: IpAddress) -> socket.socket:
    return socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
