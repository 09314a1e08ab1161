"""The code of an earlier release, taken from the repository's history."""

import io
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

RELEASES = Path(__file__).with_name("releases.toml")


def release(version: str, folder: Path) -> Path:
    """Return a folder with the release's `app`, unpacked into `folder`. Skips if its commit is not here."""
    commit = tomllib.loads(RELEASES.read_text())[version]
    if shutil.which("git") is None:
        pytest.skip("needs the git package")
    # `safe.directory`: the checkout may be another user's, as in a container.
    command = ["git", "-c", "safe.directory=*", "-C", str(ROOT), "archive", commit, "app"]
    found = subprocess.run(command, capture_output=True, check=False)
    if found.returncode != 0:
        pytest.skip(f"needs a clone with the commit of release {version}: {found.stderr.decode()}")
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder
