"""Java, and the broker's program files, which Maven fetches once into the user's cache."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.kafka import KafkaError

_POM = Path(__file__).parent / "pom.xml"
_OLDEST_JAVA = 17


def find_java() -> str:
    """The path of a Java that can run the broker: that of JAVA_HOME, or the one on the PATH.

    Raises KafkaError.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        raise KafkaError(
            f"Kafka needs Java {_OLDEST_JAVA} or newer, and there is no java:"
            " install one (Debian and Ubuntu: apt install openjdk-17-jre-headless)"
        )
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        raise KafkaError(
            f"Kafka needs Java {_OLDEST_JAVA} or newer, and {java} is {version[1] if version else 'broken'}:"
            " install one (Debian and Ubuntu: apt install openjdk-17-jre-headless) or set JAVA_HOME"
        )
    return java


def class_path() -> str:
    """The broker's program files as Java's class path; the first time, Maven fetches them.

    Raises KafkaError.
    """
    # The folder bears the pom's digest, so that another version is another folder.
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "videoanalysis"
    folder = cache / f"kafka-{digest}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        # Moved into place once whole: neither a failure nor another process leaves half of it.
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            _fetch(Path(fresh))
            if not folder.is_dir():
                Path(fresh).rename(folder)
                Path(fresh).mkdir()
    return str(folder / "*")


def _fetch(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaError(
            "Maven fetches Kafka, and there is no mvn: install it (Debian and Ubuntu: apt install maven)"
        )
    sys.stderr.write("Maven fetches Kafka; this happens once.\n")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    done = subprocess.run(
        [maven, "--batch-mode", "--quiet", "--file", str(_POM), *goal],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = re.search(r"\[.*ERROR.*\] *(.+)", done.stdout)
        raise KafkaError(f"Maven could not fetch Kafka: {reason[1] if reason else done.stdout.strip()}")
