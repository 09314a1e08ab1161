"""One Kafka broker, which is its own controller (KRaft) and listens on this machine only."""

import base64
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tools.kafka import KafkaToolError
from tools.kafka.installation import class_path, find_java

HOST = "127.0.0.1"

_LOGGING = Path(__file__).parent / "log4j2.properties"
# A small heap, the serial collector and only the fast compiler, because most brokers of tests end soon.
_JVM = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


def prepare(
    folder: Path,
    port: int,
    controller_port: int,
    *,
    listeners: Mapping[str, str] | None = None,
    extra: Mapping[str, str] | None = None,
    format_options: Sequence[str] = (),
) -> list[str]:
    """Write the configuration, format the data folder if it is empty, and return the broker's command.

    `folder` keeps the data across restarts. `listeners` are additional addresses by name and protocol
    ("SECURE:SASL_SSL"). `extra` are properties to add or replace. The broker ends on SIGTERM and SIGINT.

    Raises:
        KafkaToolError: the broker cannot run.
    """
    java = _java()
    if _archive().exists():
        java.append(f"-XX:SharedArchiveFile={_archive()}")
    for needed in (port, controller_port):
        _require_free(needed)
    configuration = _configure(folder.resolve(), port, controller_port, listeners or {}, extra or {})
    if not (configuration.parent / "data" / "meta.properties").exists():
        _format(java, configuration, format_options)
    return [*java, "kafka.Kafka", str(configuration)]


def make_class_archive() -> None:
    """Archive the classes that a broker loads (AppCDS): its start needs 3.5 s of CPU time instead of 5.5.

    An archive that this Java cannot use is made again. If it cannot be written, brokers start without it.

    Raises:
        KafkaToolError: the broker cannot run.
    """
    java = _java()
    archive = _archive()
    with suppress(OSError, KafkaToolError), tempfile.TemporaryDirectory(dir=archive.parent) as folder:
        if _is_usable(java, archive, folder):
            return
        fresh = Path(folder) / "fresh"
        configuration = _configure(Path(folder), 9092, 9093, {}, {})  # formatting does not use the ports
        _format([*java, f"-XX:ArchiveClassesAtExit={fresh}"], configuration, ())
        if _is_usable(java, fresh, folder):
            fresh.replace(archive)


def _is_usable(java: list[str], archive: Path, folder: str) -> bool:
    """Decide whether this Java accepts an archive. It reads all of it, and crashes if its end is missing."""
    check = ["-Xshare:on", "-XX:+VerifySharedSpaces", f"-XX:SharedArchiveFile={archive}", "-version"]
    return subprocess.run([*java, *check], capture_output=True, check=False, cwd=folder).returncode == 0


def _archive() -> Path:
    return Path(class_path()).parent / "classes.jsa"


def _java() -> list[str]:
    return [find_java(), *_JVM, f"-Dlog4j2.configurationFile={_LOGGING}", "-cp", class_path()]


def _configure(
    folder: Path, port: int, controller_port: int, listeners: Mapping[str, str], extra: Mapping[str, str]
) -> Path:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    configuration = folder / "server.properties"
    properties = _properties(data, port, controller_port, listeners) | dict(extra)
    configuration.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return configuration


def _properties(data: Path, port: int, controller_port: int, additional: Mapping[str, str]) -> dict[str, str]:
    addresses = {"PLAINTEXT:PLAINTEXT": f"{HOST}:{port}", "CONTROLLER:PLAINTEXT": f"{HOST}:{controller_port}"}
    addresses |= additional
    listeners = ",".join(f"{name.split(':')[0]}://{address}" for name, address in addresses.items())
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": ",".join(addresses),
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        # Without it, an idle broker writes two records a second that say nothing: a quarter of its CPU time.
        "metadata.max.idle.interval.ms": "0",
        # Internal topics for a single broker: no copies, few partitions.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # No delay for the first consumer of a group, and short session time-outs for tests.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "500",
        # A killed broker can register again when its session has expired.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.network.threads": "2",
        "num.io.threads": "4",
        "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
        "log.index.size.max.bytes": str(2**20),
    }


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise KafkaToolError(
                f"port {port} of {HOST} cannot be used ({error.strerror}): stop the program that listens"
                " there, or choose another port with VA_KAFKA_PORT"
            ) from error


def _format(java: list[str], configuration: Path, options: Sequence[str]) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    tool = ("kafka.tools.StorageTool", "format", "--standalone")
    done = subprocess.run(
        # With =, because an id that begins with a dash would be taken for an option.
        [*java, *tool, f"--cluster-id={cluster}", "--config", str(configuration), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise KafkaToolError(
            f"Kafka cannot use {configuration.parent}: {lines[0] if lines else 'it gives no reason'}"
        )
