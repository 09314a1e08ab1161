"""The system user that runs the embedded server, because PostgreSQL refuses to run as root."""

import os
import pwd
import signal
from pathlib import Path
from subprocess import DEVNULL, run
from typing import Any, NamedTuple, Self

from .environment import server_environment
from .errors import EmbeddedServerError

_UNPRIVILEGED = ("postgres", "nobody")


class Account(NamedTuple):
    """A user and group. `is_dropped` means that this process is root and the server must not be."""

    uid: int
    gid: int
    is_dropped: bool

    @classmethod
    def for_data(cls, data: Path) -> Self:
        """Return this process's user; for root, the owner of `data`, or an unprivileged user if it is new.

        Raises:
            EmbeddedServerError: that user cannot serve `data`.
        """
        try:
            status = data.stat()
        except FileNotFoundError:
            return (
                cls._unprivileged()
                if os.geteuid() == 0
                else cls(os.geteuid(), os.getegid(), is_dropped=False)
            )
        if os.geteuid() not in (0, status.st_uid):
            raise EmbeddedServerError(
                f"{data} belongs to user {_name(status.st_uid)}: start the service as that user,"
                " change the owner, or choose another data folder (VA_DATA_DIR)"
            )
        if status.st_uid == 0:
            user = _name(cls._unprivileged().uid)
            raise EmbeddedServerError(
                f"{data} belongs to root, and PostgreSQL does not run as root: run chown -R {user} {data}"
            )
        return cls(status.st_uid, status.st_gid, is_dropped=os.geteuid() == 0)

    @classmethod
    def _unprivileged(cls) -> Self:
        for name in _UNPRIVILEGED:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, is_dropped=True)
        raise EmbeddedServerError(
            f"PostgreSQL does not run as root, and there is no user {' or '.join(_UNPRIVILEGED)}:"
            " start the service as a normal user"
        )

    @property
    def name(self) -> str:
        return _name(self.uid)

    def process_options(self) -> dict[str, Any]:
        """Return options of `subprocess.Popen` that run a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_dropped else {}

    def send_signal(self, process: int, number: signal.Signals) -> None:
        """Send a signal as this user, who wrote the process id, so that it reaches no process of others."""
        if not self.is_dropped:
            os.kill(process, number)
            return
        run(
            ["/bin/sh", "-c", 'kill -s "$1" "$2"', "sh", number.name.removeprefix("SIG"), str(process)],
            check=False, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, cwd="/", env=server_environment(),
            **self.process_options(),
        )  # fmt: skip

    def may_name(self, path: Path, name: str) -> bool:
        """Return whether `path`, which this user wrote, may be used as that of the folder `name`.

        If this process is root, no other user may be able to replace a part of the path by a link.
        """
        is_safe = not self.is_dropped or all(step.stat().st_uid == 0 for step in path.parents)
        return path.name == name and is_safe

    def reaches(self, path: Path) -> bool:
        """Return whether this user can open or run `path`. For another user, everybody must be allowed to."""
        real = path.resolve()
        steps = {path, *path.parents, real, *real.parents}
        return not self.is_dropped or all(step.stat().st_mode & 0o001 for step in steps)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
