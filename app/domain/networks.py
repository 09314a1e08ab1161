"""Where on the network a source may be, and connecting there without being led anywhere else."""

import socket
import time
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Kind = Literal["public", "private", "loopback"]
_Network: TypeAlias = IPv4Network | IPv6Network
_SocketAddress: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_GLOBAL_V6 = ip_network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = frozenset(
    map(
        ip_address,
        (
            "168.63.129.16",
            "100.100.100.200",
            "100.100.100.201",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:42::42",
            "192.0.0.192",
        ),
    )
)
"""What clouds answer their machines under with keys and secrets, beside the link-local 169.254.169.254."""

_MOST_ADDRESSES = 8  # of one name


class ForbiddenAddressError(OSError):
    """A source leads to where none may be. The message says where, and what to do."""


class Networks:
    """The addresses that sources may have.

    Made from words and networks, separated by commas: `public` (the internet), `private` (local networks),
    `loopback` (this machine), and networks or addresses as in `192.168.7.0/24`. Addresses that are none of
    these, such as link-local ones, are in it only where a network names them. Raises ValueError.
    """

    def __init__(self, text: str) -> None:
        self._kinds: set[Kind] = set()
        self._networks: set[_Network] = set()
        for part in filter(None, map(str.strip, text.split(","))):
            match part:
                case "public" | "private" | "loopback":
                    self._kinds.add(part)
                case _:
                    self._networks.add(ip_network(part, strict=False))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Networks):
            return NotImplemented
        return (self._kinds, self._networks) == (other._kinds, other._networks)

    def __hash__(self) -> int:
        return hash((frozenset(self._kinds), frozenset(self._networks)))

    def __str__(self) -> str:
        return ", ".join([*sorted(self._kinds), *sorted(map(str, self._networks))])

    def __repr__(self) -> str:
        return f"Networks({str(self)!r})"

    def __contains__(self, address: Address) -> bool:
        address = _judged(address)
        return _kind(address) in self._kinds or any(address in network for network in self._networks)

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """Resolve a host once, and connect to the first of its addresses that is in here and answers.

        Takes about `timeout` seconds at most, beside what the resolver takes; later reads and writes on the
        connection have as long each. Raises OSError, ForbiddenAddressError where no address is in here.
        """
        addresses = self._resolve(host, port)[:_MOST_ADDRESSES]
        deadline = time.monotonic() + timeout
        fault: OSError | None = None
        for number, (family, address) in enumerate(addresses):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                # Each address has its share of the time that is left, so that a dead one leaves some.
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

    def _resolve(self, host: str, port: int) -> list[tuple[int, _SocketAddress]]:
        """A host's addresses that are in here, to connect to as they are: asked again, a name may lie."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (UnicodeError, OverflowError):  # of a label too long, of a port too large
            raise OSError("no such host or port") from None
        allowed: list[tuple[int, _SocketAddress]] = []
        forbidden: Address | None = None
        for family, _, _, _, address in found:
            ip = _judged(ip_address(address[0]))
            if ip in self:
                allowed.append((family, address))
            else:
                forbidden = ip
        if forbidden is not None and not allowed:
            kind = _kind(forbidden)
            hint = f": add {kind} to VA_SOURCE_NETWORKS if sources may be there" if kind else ""
            raise ForbiddenAddressError(f"{forbidden} is on none of the networks of sources{hint}")
        return allowed


def _judged(address: Address) -> Address:
    """The address that a packet would end at, where an IPv6 address stands for an IPv4 one."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _kind(address: Address) -> Kind | None:
    if address in _METADATA:
        return None
    if address.is_loopback:
        return "loopback"
    if any(address in network for network in _PRIVATE):
        return "private"
    unicast = address.version == 4 or address in _GLOBAL_V6
    return "public" if unicast and address.is_global and not address.is_multicast else None
