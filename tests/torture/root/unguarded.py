"""The embedded server of root without its guards against the user that the server runs as.

Each function takes one guard out, by replacing public names of modules.
"""

import os
import shutil
import signal
from pathlib import Path
from typing import IO

import pytest

from app.postgres.embedded import cluster, server
from app.postgres.embedded.account import Account
from app.postgres.embedded.locks import FileLock

Patch = pytest.MonkeyPatch


def follow_links(patch: Patch) -> None:
    """Let files of the data folder, and the log, be opened by their paths, whatever these lead to."""

    def path_of(folder: FileLock, name: str) -> Path:
        return Path(f"/proc/self/fd/{folder.fileno()}", name)

    def read_file(folder: FileLock, name: str) -> str | None:
        path = path_of(folder, name)
        return path.read_text() if path.exists() else None

    def replace_file(folder: FileLock, name: str, text: str, account: Account) -> None:
        path_of(folder, name).write_text(text)
        shutil.chown(path_of(folder, name), account.uid, account.gid)

    def open_log(path: Path) -> IO[bytes]:
        return path.open("ab+")

    patch.setattr(cluster, "read_file", read_file)
    patch.setattr(cluster, "replace_file", replace_file)
    patch.setattr(cluster, "open_log", open_log)


def trust_the_pid_file(patch: Patch) -> None:
    """Let root signal every process, and use every folder, that the database's user has written down."""

    def send_signal(_: Account, process: int, number: signal.Signals) -> None:
        os.kill(process, number)

    patch.setattr(Account, "send_signal", send_signal)
    patch.setattr(Account, "may_name", lambda *_: True)
    patch.setattr(server, "listens", lambda *_: True)


def keep_the_environment(patch: Patch) -> None:
    """Give the database's programs all of root's environment."""
    patch.setattr(cluster, "server_environment", lambda: dict(os.environ))
