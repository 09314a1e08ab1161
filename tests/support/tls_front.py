"""A TLS server with a self-signed certificate in front of a plain one."""

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from threading import Thread

from tests.support.paths import ROOT

CERTIFICATE = ROOT / "tests/support/self_signed.pem"
_PEM = CERTIFICATE.read_text()
FINGERPRINT = sha256(ssl.PEM_cert_to_DER_cert(_PEM[_PEM.index("-----BEGIN CERT") :])).hexdigest()


@contextmanager
def in_tls(port: int) -> Iterator[int]:
    """Run the server during the block, in front of a local port; yield its own port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)

    def talk(tcp: socket.socket) -> None:
        with (
            suppress(OSError),
            tcp,
            context.wrap_socket(tcp, server_side=True) as outside,
            socket.create_connection(("127.0.0.1", port)) as inside,
        ):
            pump(outside, inside)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def pump(outside: ssl.SSLSocket, inside: socket.socket) -> None:
    """Copy in both directions until one side ends."""
    while True:
        readable, _, _ = select.select([outside, inside], [], [])
        source, sink = (outside, inside) if outside in readable else (inside, outside)
        data = source.recv(65536)
        if not data:
            return
        sink.sendall(data + (outside.recv(65536) if source is outside and outside.pending() else b""))
