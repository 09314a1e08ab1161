"""A folder for an embedded server, and other processes that use the server."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from app.postgres.embedded.account import Account
from app.postgres.embedded.binaries import find_binaries
from tests.support.databases import temporary_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for a server. No process of the server may be left after the test."""
    with temporary_folder() as parent:
        folder = parent / "postgres"
        yield folder
        left = servers(folder)
        for process in left:
            process.kill()
        assert left == []


def servers(folder: Path) -> list[psutil.Process]:
    """Return the server's processes: those that work in its data folder, and zombies of this process."""
    mine = psutil.Process()
    found = []
    for process in psutil.process_iter(["name", "cwd", "ppid"]):
        works_here = process.info["cwd"] in (str(folder / "data"), f"{folder / 'data'} (deleted)")
        zombie = process.info["name"] == "postgres" and process.info["ppid"] == mine.pid
        if works_here or (zombie and process.status() == psutil.STATUS_ZOMBIE):
            found.append(process)
    return found


@pytest.fixture
def open_binaries(tmp_path: Path) -> Path:
    """The folder of PostgreSQL's programs, which any user can run."""
    return find_binaries(None, Account.for_data(tmp_path / "none"))


class User:
    """Another process that uses the server, in a process group of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.postgres.embedded.user", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.dsn = ""
        self.server = 0

    def ready(self) -> "User":
        """Wait until the server is up; then `dsn` and `server`, the process id, are known."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.failure()
        told = json.loads(line)
        self.dsn, self.server = told["dsn"], told["pid"]
        return self

    def leave(self) -> None:
        """End the process normally."""
        _, errors = self.process.communicate(timeout=20)
        assert self.process.returncode == 0, errors.decode()

    def failure(self) -> str:
        """Return what the process wrote to standard error before it ended."""
        _, errors = self.process.communicate(timeout=60)
        return errors.decode()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def use() -> Iterator[Callable[..., User]]:
    """Start processes that use a server: `use(folder, *options)`."""
    with ExitStack() as stack:

        def start(folder: Path, *options: str) -> User:
            user = User(str(folder), *options)
            stack.callback(user.kill)
            return user

        yield start
