"""Resolve a host name to the addresses that a set of networks allows."""

import socket
from ipaddress import ip_address
from typing import NamedTuple, TypeAlias

from .domain.networks import IpAddress, NetworkKind, Networks, destination, network_kind

SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

_NOBODYS = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}  # addresses for examples, by version


class Resolved(NamedTuple):
    """The family and socket address of each allowed address of a host, and one that is forbidden."""

    allowed: list[tuple[int, SocketAddress]]
    forbidden: tuple[IpAddress, NetworkKind | None] | None


def resolve(networks: Networks, host: str, port: int) -> Resolved:
    """Return which of a host's addresses are on `networks`.

    Connect to these and not to the name: its addresses may be others when it is resolved again. An IPv6
    address may have a zone, as in `fe80::1%25eth0`.

    Raises:
        OSError: there is no such host.
    """
    if ":" in host:
        host = host.replace("%25", "%")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (UnicodeError, OverflowError):  # a label that is too long, a port that is too large
        raise OSError("no such host or port") from None
    allowed: list[tuple[int, SocketAddress]] = []
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
    return Resolved(allowed, forbidden)


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
