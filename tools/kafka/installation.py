"""Java, and the broker's program files, which Maven downloads once into the user's cache."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.kafka import KafkaToolError

_POM = Path(__file__).parent / "pom.xml"
_OLDEST_JAVA = 17


def find_java() -> str:
    """Return the path of a Java that can run the broker: from JAVA_HOME, or else from PATH.

    Raises:
        KafkaToolError: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        raise KafkaToolError(
            f"Kafka needs Java {_OLDEST_JAVA} or newer, but no java was found:"
            " install it (Debian and Ubuntu: apt install openjdk-17-jre-headless)"
        )
    output = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', output)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        raise KafkaToolError(
            f"Kafka needs Java {_OLDEST_JAVA} or newer, but {java} is {version[1] if version else 'broken'}:"
            " install it (Debian and Ubuntu: apt install openjdk-17-jre-headless) or set JAVA_HOME"
        )
    return java


def class_path() -> str:
    """Return the Java class path of the broker's program files. Maven downloads them the first time.

    Raises:
        KafkaToolError: Maven is missing or fails.
    """
    # The name contains a digest of pom.xml, so that each version has its own folder.
    digest = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "videoanalysis"
    folder = cache / f"kafka-{digest}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        # Moved into place when complete: neither a failure nor another process leaves half of it.
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            _download(Path(fresh))
            if not folder.is_dir():
                Path(fresh).rename(folder)
                Path(fresh).mkdir()
    return str(folder / "*")


def _download(folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaToolError(
            "Maven downloads Kafka, but no mvn was found: install it (Debian and Ubuntu: apt install maven)"
        )
    sys.stderr.write("Maven downloads Kafka; this happens once.\n")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    done = subprocess.run(
        [maven, "--batch-mode", "--quiet", "--file", str(_POM), *goal],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        reason = re.search(r"\[.*ERROR.*\] *(.+)", done.stdout)
        raise KafkaToolError(
            f"Maven could not download Kafka: {reason[1] if reason else done.stdout.strip()}"
        )
