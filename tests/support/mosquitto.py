"""A real MQTT broker on this machine, with or without TLS and a password."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from getpass import getuser
from pathlib import Path

from tests.support.missing import skip_or_fail
from tests.support.ports import free_port
from tests.support.tls_front import CERTIFICATE
from tests.support.waiting import until

USER, PASSWORD = "video", "open sesame"
_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin"


@asynccontextmanager
async def mosquitto(folder: Path, *, secure: bool = False) -> AsyncIterator[int]:
    """Run a broker during the block, and yield its port; skip the test if the package is not installed."""
    program = shutil.which("mosquitto", path=_PATH)
    if program is None:
        skip_or_fail("needs the package mosquitto")
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "persistence false"]
    if secure:
        users = folder / "mosquitto.users"
        make = f"{shutil.which('mosquitto_passwd', path=_PATH)}"
        command = [make, "-b", "-c", str(users), USER, PASSWORD]
        subprocess.run(command, check=True, capture_output=True)  # noqa: ASYNC221
        lines += [f"password_file {users}", f"certfile {CERTIFICATE}", f"keyfile {CERTIFICATE}"]
        lines.append(f"user {getuser()}")  # root would become another, who may not read the test's folder
    else:
        lines.append("allow_anonymous true")
    config = folder / "mosquitto.conf"
    config.write_text("".join(f"{line}\n" for line in lines))
    log = folder / "mosquitto.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program, "-c", config], stdout=out, stderr=out)  # noqa: ASYNC220
    try:
        await until(lambda: b"running" in log.read_bytes())
        yield port
    finally:
        process.kill()
        process.wait()
