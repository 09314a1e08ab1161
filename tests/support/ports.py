"""Free ports."""

import secrets
import socket
from contextlib import suppress


def free_port() -> int:
    """Return a loopback port that is free, and that the system gives to no outgoing connection."""
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
