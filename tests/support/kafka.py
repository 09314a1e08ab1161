"""A real Kafka broker: a given one, one in Docker, or one on this machine's Java."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.secure_listener import SecureListener
from tests.support.temporary import fast_folder
from tools.kafka import KafkaToolError
from tools.kafka.broker import HOST, prepare

_START_SECONDS = 60.0
_IMAGE = "apache/kafka:4.1.0"


class LocalBroker:
    """A broker on this machine, which can be killed, frozen and started again with its data."""

    def __init__(self, folder: Path, *, secure: bool = False) -> None:
        self.port, self._controller_port, secure_port = _free_ports(3)
        self.address = f"{HOST}:{self.port}"
        self.secure = SecureListener(folder, secure_port) if secure else None
        self._folder = folder
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once it answers. Raises KafkaToolError."""
        if self.secure is not None:
            self.secure.make_certificate()
        self.spawn()
        deadline = time.monotonic() + _START_SECONDS
        while not self.answers():
            if time.monotonic() > deadline:
                self.kill()
                raise KafkaToolError(f"the broker did not start: {self._log.read_text(errors='replace')}")
            time.sleep(0.05)

    def spawn(self) -> None:
        """Start it without waiting, from the main thread alone: it dies with its parent thread."""
        secure = self.secure
        command = prepare(
            self._folder,
            self.port,
            self._controller_port,
            listeners={"SECURE:SASL_SSL": secure.address} if secure else {},
            extra=secure.properties() if secure else {},
            format_options=secure.format_options() if secure else (),
        )
        die = _death_with_parent()
        with self._log.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die
            )

    def answers(self) -> bool:
        """Whether it has started. Raises KafkaToolError if it ended."""
        if self._process is None or self._process.poll() is not None:
            raise KafkaToolError(f"the broker ended: {self._log.read_text(errors='replace')}")
        return b"Kafka Server started" in self._log.read_bytes()

    def freeze(self) -> None:
        """Stop all of its threads; return once none of them runs."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        threads = [psutil.Process(thread.id) for thread in psutil.Process(self._process.pid).threads()]
        while any(thread.status() != psutil.STATUS_STOPPED for thread in threads):
            time.sleep(0.001)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def local_broker(*, secure: bool = False) -> Iterator[LocalBroker]:
    """Run a broker during the block. Raises KafkaToolError if none can be started."""
    with fast_folder("videoanalysis-kafka-") as folder:
        broker = LocalBroker(folder, secure=secure)
        try:
            broker.start()
            yield broker
        finally:
            broker.kill()


@contextmanager
def any_broker() -> Iterator[str]:
    """Yield the address of a broker: the one at VA_TEST_KAFKA, else one in Docker, else one on this machine.

    The one at VA_TEST_KAFKA must allow short sessions (group.min.session.timeout.ms=500), as that of
    `make kafka` does.
    Raises KafkaToolError if there is none of them.
    """
    given = os.environ.get("VA_TEST_KAFKA")
    if given:
        yield given
        return
    with ExitStack() as stack:
        address = _in_docker(stack)
        if address is None:
            address = stack.enter_context(local_broker()).address
        yield address


def _in_docker(stack: ExitStack) -> str | None:
    with suppress(Exception):  # no docker, no engine that answers, or one that cannot fetch the image
        subprocess.run(["docker", "version"], capture_output=True, check=True, timeout=10)
        return _start_container(stack)
    return None


def _start_container(stack: ExitStack) -> str:
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.waiting_utils import wait_for_logs

    (port,) = _free_ports(1)
    container: Any = DockerContainer(_IMAGE).with_bind_ports(9092, port)
    settings = {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.quorum.voters": "1@localhost:9093",
        "offsets.topic.replication.factor": "1",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "500",
    }
    for name, value in settings.items():
        container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
    stack.enter_context(container)
    wait_for_logs(container, "Kafka Server started", timeout=_START_SECONDS)
    return f"{HOST}:{port}"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]


def _death_with_parent() -> Callable[[], object] | None:
    """What makes Linux kill a child together with its parent, however the tests end."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded before the fork
    return lambda: libc.prctl(1, signal.SIGKILL)
