"""Free ports and the addresses of this machine."""

import secrets
import socket
from contextlib import suppress

import psutil
import pytest


def free_port() -> int:
    """Return a loopback port that is free, and that the system gives to no outgoing connection."""
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def own_addresses() -> list[str]:
    """Return this machine's IPv4 addresses that are not loopback; skips the test if there is none."""
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith(("127.", "169.254."))
    ]
    return found or pytest.skip("this machine has no address but loopback")
