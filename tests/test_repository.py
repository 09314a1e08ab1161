"""What holds for the repository's files, whatever they say."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

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


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower()


def _project() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    return {
        "runtime": [
            _name(line)
            for line in project["project"]["dependencies"] + [x for extra in extras for x in extra]
        ],
        "dev": [_name(line) for line in project["dependency-groups"]["dev"]],
    }


def test_the_readme_tells_of_each_dependency_what_it_is_for() -> None:
    section = (ROOT / "README.md").read_text().split("## Dependencies")[1].split("\n## ")[0]
    parts = zip(section.split("For development only:"), ("runtime", "dev"), strict=True)
    for part, kind in parts:
        rows = re.findall(r"^\| *([\w., -]+?) *\|(.+)\|$", part, re.MULTILINE)
        names = [name for name, purpose in rows if purpose.strip(" -|") and name != "package"]
        assert {name.lower() for each in names for name in each.split(", ")} == set(_project()[kind])


def test_the_lock_holds_each_dependency_with_hashes() -> None:
    pins = (ROOT / "requirements.lock").read_text().split("\n\n")[0]
    locked = re.findall(r"^([\w.-]+)==\S+ (?:; [^\\]+)?\\\n    --hash=sha256:", pins, re.MULTILINE)
    every = _project()
    assert set(every["runtime"] + every["dev"]) <= set(locked)
    assert len(locked) == len(re.findall(r"^[\w.-]+==", pins, re.MULTILINE))
