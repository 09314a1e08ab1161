"""`make kafka`: a broker in the foreground, or one line that says why there is none."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.support.ports import free_port
from tools.kafka.installation import class_path

ROOT = Path(__file__).parent.parent.parent
START = [sys.executable, "-m", "tools.kafka"]


@pytest.fixture
def port() -> int:
    """One that is free, and the one after it; neither will be given to an outgoing connection."""
    while True:
        number = free_port()
        with suppress(OSError), socket.create_server(("127.0.0.1", number + 1)):
            return number


def _environment(folder: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VA_")}
    return {**kept, "PYTHONPATH": str(ROOT), "VA_DATA_DIR": str(folder), **changes}


@pytest.mark.usefixtures("kafka")  # which skips this test if no broker can run
def test_it_serves_until_a_signal_ends_it_and_keeps_its_data(tmp_path: Path, port: int) -> None:
    clusters = []
    for number in (signal.SIGTERM, signal.SIGINT):
        # If it is told to end while it starts, Kafka sometimes takes minutes; not twice in a row.
        assert _ends(tmp_path, port, number) or _ends(tmp_path, port, number)
        clusters.append((tmp_path / "kafka" / "data" / "meta.properties").read_text())
    assert clusters[0] == clusters[1]


def _ends(folder: Path, port: int, number: signal.Signals) -> bool:
    """Whether a broker that serves ends in time on a signal. It has ended afterwards."""
    with subprocess.Popen(
        START,
        cwd=folder,
        env=_environment(folder, VA_KAFKA_PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Background processes ignore SIGINT, and so do their children.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == (
                f"Kafka on 127.0.0.1:{port}, data in {folder / 'kafka'}; Ctrl-C stops it\n"
            )
            assert "Kafka Server started" in process.stdout.readline()
            socket.create_connection(("127.0.0.1", port)).close()
            assert psutil.Process(process.pid).children() == [], "something could outlive it"
            process.send_signal(number)
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
    return True


def _refusal(folder: Path, **changes: str) -> str:
    done = subprocess.run(
        START, cwd=folder, env=_environment(folder, **changes), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


@pytest.mark.usefixtures("kafka")
def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert _refusal(tmp_path, VA_KAFKA_PORT=str(port)) == (
            f"make kafka: port {port} of 127.0.0.1 cannot be used (Address already in use):"
            " stop the program that listens there, or choose another port with VA_KAFKA_PORT\n"
        )


@pytest.mark.usefixtures("kafka")
def test_an_archive_of_classes_that_is_broken_is_made_again(tmp_path: Path) -> None:
    jars = Path(class_path()).parent
    folder = tmp_path / "videoanalysis" / jars.name
    folder.mkdir(parents=True)
    for jar in jars.glob("*.jar"):
        (folder / jar.name).symlink_to(jar)
    archive = folder / "classes.jsa"
    archive.write_bytes(b"no archive")
    inodes = set()
    for _ in range(2):  # the second finds one that it can use
        done = subprocess.run(
            [*START, "--download"],
            env=_environment(tmp_path, XDG_CACHE_HOME=str(tmp_path)),
            capture_output=True,
            check=True,
        )
        assert done.stdout + done.stderr == b""
        assert archive.stat().st_size > 2**20
        inodes.add(archive.stat().st_ino)
    assert len(inodes) == 1
    assert not [each for each in folder.iterdir() if each.is_dir()]


def test_without_java_it_says_what_to_install(tmp_path: Path) -> None:
    said = _refusal(tmp_path, PATH=str(tmp_path), JAVA_HOME="")
    assert said == (
        "make kafka: Kafka needs Java 17 or newer, but no java was found:"
        " install it (Debian and Ubuntu: apt install openjdk-17-jre-headless)\n"
    )


def test_a_java_that_is_too_old_is_named(tmp_path: Path) -> None:
    java = _program(tmp_path / "java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2")
    said = _refusal(tmp_path, PATH=f"{tmp_path}:/bin", JAVA_HOME="")
    assert said.startswith(f"make kafka: Kafka needs Java 17 or newer, but {java} is 11: install it")


def test_without_maven_it_says_what_to_install(tmp_path: Path) -> None:
    _program(tmp_path / "java", "echo 'openjdk version \"21.0.2\" 2024-01-16' >&2")
    cache = {"XDG_CACHE_HOME": str(tmp_path)}
    said = _refusal(tmp_path, PATH=str(tmp_path), JAVA_HOME="", **cache)
    assert said == (
        "make kafka: Maven downloads Kafka, but no mvn was found: install it"
        " (Debian and Ubuntu: apt install maven)\n"
    )
    _program(tmp_path / "mvn", "echo '[ERROR] no route to host'; exit 1")
    said = _refusal(tmp_path, PATH=str(tmp_path), JAVA_HOME="", **cache)
    assert said.splitlines()[-1] == "make kafka: Maven could not download Kafka: no route to host"
    assert list((tmp_path / "videoanalysis").iterdir()) == []


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    assert _refusal(tmp_path, VA_KAFKA_PORT="x") == (
        "make kafka: VA_KAFKA_PORT='x' is wrong: it must be a port number from 1 to 65534\n"
    )


def _program(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
