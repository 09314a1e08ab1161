"""What no tracked file may contain."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

REGISTRY = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs\.org|proxy\.golang\.org"
    r"|//[^\s/]*(?:pypi|devpi|artifactory|nexus)[^\s/]*/|--(?:extra-)?index-url|--find-lin[k]s"
)
ONE_MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|root|work|workspace|opt/wheels|tmp/probe)/\w")


def _tracked() -> list[Path]:
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("needs a git checkout and the git package")
    # `safe.directory`: the checkout may be another user's, as in a container.
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
    )
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def _findings(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {found[0]}"
        for path in _tracked()
        for found in pattern.finditer(path.read_text(errors="replace"))
    ]


def test_no_tracked_file_names_a_package_registry() -> None:
    assert _findings(REGISTRY) == []


def test_no_tracked_file_holds_a_path_of_one_machine() -> None:
    assert _findings(ONE_MACHINE) == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (REGISTRY, "https://" + "pypi." + "org/simple"),
        (REGISTRY, "https://" + "nexus.example/repository/"),
        (REGISTRY, "--index" + "-url x"),
        (ONE_MACHINE, 'open("/' + 'home/me/clip.mp4")'),
        (ONE_MACHINE, "cd /" + "root/videoanalysis"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)
