"""The addresses of clients and hosts."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from litestar.types import HTTPScope

_CACHE_SIZE = 100  # entries; a Host may be 64 KiB long


def network_of(scope: HTTPScope) -> str:
    """Return whom a request without a key counts for: the client's IPv4 address, or its IPv6 /64 network."""
    client = scope["client"]
    address = None if client is None else _address(client[0])
    if isinstance(address, IPv6Address):
        return str(IPv6Address(int(address) >> 64 << 64))
    return str(address)


def is_loopback(text: str) -> bool:
    """Return whether an address is one of this machine's own, such as 127.0.0.1."""
    address = _address(text)
    return address is not None and address.is_loopback


@lru_cache(_CACHE_SIZE)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        ip = ip_address(text)
    except ValueError:
        return None
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip
