"""A small disk of a test's own, to fill it. Nothing else notices."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.missing import skip_or_fail

_MOUNT = 'mount -t tmpfs -o size="$1",mode=755 tmpfs "$0" && echo mounted && exec sleep infinity'


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[Path]:
    """Yield a folder on a disk of this size: root mounts it, another user does so in a namespace."""
    folder.mkdir()
    size = f"{mebibytes}m"
    if os.geteuid() == 0:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            skip_or_fail("needs permission to mount a disk")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    namespace = ["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"]
    holder = subprocess.Popen(
        [*namespace, "sh", "-c", _MOUNT, folder, size], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != b"mounted\n":
                skip_or_fail("needs root or user namespaces, to mount a disk")
            yield Path(f"/proc/{holder.pid}/root{folder}")
        finally:
            holder.kill()


def fill(file: Path) -> None:
    """Write to a file until its disk is full, to the last byte."""
    with file.open("ab", buffering=0) as opened:
        for block in (65_536, 4096, 1):
            try:
                while opened.write(b"x" * block):
                    pass
            except OSError:
                continue
