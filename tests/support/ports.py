"""Free ports of this machine."""

import secrets
import socket
from contextlib import suppress


def free_port() -> int:
    """A loopback port that nobody listens on now, and that no outgoing connection will be given."""
    while True:
        port = 15_000 + secrets.randbelow(15_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
