"""The addresses of this machine."""

import socket

import psutil
import pytest


def own_addresses() -> list[str]:
    """Return this machine's IPv4 addresses that are not loopback; skips the test if there is none."""
    found = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family == socket.AF_INET and not address.address.startswith(("127.", "169.254."))
    ]
    return found or pytest.skip("this machine has no address but loopback")
