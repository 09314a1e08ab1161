"""`make` sets up an environment of its own, and changes no other."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def test_an_environment_that_is_a_link_is_refused_and_left_alone(tmp_path: Path) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    checkout.mkdir()
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (checkout / ".venv").symlink_to(elsewhere)
    for name in ("Makefile", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, checkout)
    for target in ("run", "test"):
        made = subprocess.run(["make", target], cwd=checkout, capture_output=True, text=True, check=False)
        assert made.returncode != 0
        assert made.stderr.startswith(".venv is a link, and setting up would change what it points to")
    assert [path.name for path in elsewhere.iterdir()] == ["precious"]
