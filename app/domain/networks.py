"""The networks that sources may be on, and which network an address belongs to."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Literal, TypeAlias

IpAddress: TypeAlias = IPv4Address | IPv6Address
NetworkKind = Literal["public", "private", "loopback"]
_Network: TypeAlias = IPv4Network | IPv6Network

_PRIVATE = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"))
)
_GLOBAL_V6 = ip_network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
_METADATA = tuple(
    map(
        ip_network,
        (
            "168.63.129.16",
            "100.100.100.200",
            "100.100.100.201",
            "fd00:ec2::/32",
            "fd00:a9fe:a9fe::/48",
            "fd20:ce::254",
            "fd00:42::42",
            "192.0.0.192",
        ),
    )
)
"""Metadata services of clouds, which hand out keys; 169.254.169.254 is link-local and so forbidden anyway."""


class Networks:
    """The set of addresses that sources may have.

    `text` is a list, separated by commas, of the words `public` (the internet), `private` (local networks)
    and `loopback` (this machine, by any of its addresses), and of networks or addresses such as
    `192.168.7.0/24`. An address of no kind, such as a link-local one, belongs to the set only if a network of
    the list contains it.

    Raises:
        ValueError: a part of `text` is neither a word nor a network.
    """

    def __init__(self, text: str) -> None:
        self._kinds: set[NetworkKind] = set()
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

    def __contains__(self, address: IpAddress) -> bool:
        return self.allows(address, network_kind(destination(address)))

    def allows(self, address: IpAddress, kind: NetworkKind | None) -> bool:
        """Return whether an address of this kind of network belongs to the set."""
        address = destination(address)
        return kind in self._kinds or any(address in network for network in self._networks)


def destination(address: IpAddress) -> IpAddress:
    """Return the address that packets reach: the IPv4 address inside a mapped, 6to4 or NAT64 address."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def network_kind(address: IpAddress) -> NetworkKind | None:
    """Return the kind of network that an address is on; None for link-local, multicast and metadata ones."""
    if any(address in network for network in _METADATA):
        return None
    if address.is_loopback:
        return "loopback"
    if any(address in network for network in _PRIVATE):
        return "private"
    unicast = address.version == 4 or address in _GLOBAL_V6
    return "public" if unicast and address.is_global and not address.is_multicast else None
