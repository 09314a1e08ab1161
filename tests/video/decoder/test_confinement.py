"""What a confined decoder process cannot do, and what it still can: the pages say both."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.video.decoder.confinement import _FILES, _MEMORY
from app.video.decoder.parent import environment

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are those of Linux")

_TRIES = """
import json, os, resource, socket, sys
from pathlib import Path
from app.video.decoder.confinement import confine

confine()
def taken():
    try:
        return len(bytearray(3 * 2**30))
    except MemoryError:
        return 0
limit = lambda which: resource.getrlimit(which)[1]
status = Path("/proc/self/status").read_text()
with socket.create_connection(("127.0.0.1", int(sys.argv[2]))) as link:
    is_connected = link.recv(1) == b"x"
print(json.dumps({
    "core": limit(resource.RLIMIT_CORE), "files": limit(resource.RLIMIT_NOFILE),
    "memory": limit(resource.RLIMIT_DATA), "taken": taken(), "no_new": "NoNewPrivs:\\t1" in status,
    "settings": [name for name in os.environ if name.startswith("VA_")],
    "user": os.getuid(), "file": Path(sys.argv[1]).read_text(), "connects": is_connected,
    "parent": "VA_CONFINED_KEY=of-the-service" in Path(f"/proc/{os.getppid()}/environ").read_text(),
}))
"""


def test_a_decoder_process_is_limited_and_is_no_sandbox(tmp_path: Path) -> None:
    """It reads the files of the service's user, what /proc shows of the service, and reaches the network."""
    (tmp_path / "recording").write_text("of another scenario")
    service = """
import os, socket, subprocess, sys
with socket.create_server(("127.0.0.1", 0)) as server:
    child = subprocess.Popen(
        [sys.executable, "-c", sys.argv[1], sys.argv[2], str(server.getsockname()[1])],
        env={name: value for name, value in os.environ.items() if not name.startswith("VA_")},
    )
    link, _ = server.accept()
    link.sendall(b"x")
    sys.exit(child.wait())
"""
    done = subprocess.run(
        [sys.executable, "-c", service, _TRIES, str(tmp_path / "recording")],
        env=environment() | {"VA_CONFINED_KEY": "of-the-service"},
        capture_output=True,
        check=True,
        timeout=60,
    )
    told = json.loads(done.stdout)
    assert told == {
        "core": 0,
        "files": min(_FILES, told["files"]),
        "memory": min(_MEMORY, told["memory"]),
        "taken": 0,
        "no_new": True,
        "settings": [],
        "user": os.getuid(),
        "file": "of another scenario",
        "connects": True,
        "parent": True,
    }
