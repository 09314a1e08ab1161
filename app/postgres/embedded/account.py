"""The system user that the local server runs as: Postgres refuses to run as root."""

import os
import pwd
from pathlib import Path
from typing import Any, NamedTuple, Self

from .errors import EmbeddedServerError

_UNPRIVILEGED = ("postgres", "nobody")


class Account(NamedTuple):
    """A user and group. `dropped` tells that this process is root and the server must not be."""

    uid: int
    gid: int
    dropped: bool

    @classmethod
    def for_data(cls, data: Path) -> Self:
        """This process's own user; under root, the owner of `data`, or an unprivileged one for a new folder.

        Raises EmbeddedServerError where that user cannot serve `data`.
        """
        try:
            status = data.stat()
        except FileNotFoundError:
            return (
                cls._unprivileged() if os.geteuid() == 0 else cls(os.geteuid(), os.getegid(), dropped=False)
            )
        if os.geteuid() not in (0, status.st_uid):
            raise EmbeddedServerError(
                f"{data} belongs to user {_name(status.st_uid)}, who must be the one to start this:"
                f" change its owner, or choose another data folder"
            )
        if status.st_uid == 0:
            user = _name(cls._unprivileged().uid)
            raise EmbeddedServerError(
                f"{data} belongs to root, as whom Postgres does not run: chown -R {user} {data}"
            )
        return cls(status.st_uid, status.st_gid, dropped=os.geteuid() == 0)

    @classmethod
    def _unprivileged(cls) -> Self:
        for name in _UNPRIVILEGED:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_uid, entry.pw_gid, dropped=True)
        raise EmbeddedServerError(
            f"Postgres does not run as root and there is no user {' or '.join(_UNPRIVILEGED)}:"
            " start this as a normal user"
        )

    @property
    def name(self) -> str:
        return _name(self.uid)

    def process_options(self) -> dict[str, Any]:
        """Options of `subprocess.Popen` under which the program runs as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.dropped else {}

    def reaches(self, path: Path) -> bool:
        """Whether this user can enter or run `path`; one dropped to, only where everybody can."""
        real = path.resolve()
        steps = {path, *path.parents, real, *real.parents}
        return not self.dropped or all(step.stat().st_mode & 0o001 for step in steps)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
