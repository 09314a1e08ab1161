"""Each dependency is explained in docs/dependencies.md and pinned in the lock files."""

import re
import tomllib

from tests.support.paths import ROOT


def _name(requirement: str) -> str:
    found = re.match(r"[\w.-]+", requirement)
    assert found
    return found[0].lower()


def _project() -> dict[str, set[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {
        "runtime": {_name(line) for line in project["project"]["dependencies"]},
        "dev": {_name(line) for line in project["dependency-groups"]["dev"]},
    }


def test_a_page_says_of_each_dependency_what_it_is_for() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    parts = zip(page.split("## Development"), ("runtime", "dev"), strict=True)
    for part, kind in parts:
        rows = re.findall(r"^\| *([\w., -]+?) *\|(.+)\|$", part, re.MULTILINE)
        names = [name for name, purpose in rows if purpose.strip(" -|") and name != "package"]
        assert {name.lower() for each in names for name in each.split(", ")} == _project()[kind]


def _locked(name: str) -> dict[str, str]:
    """Return each pin of a lock, package → version and marker. Fails for one without a hash."""
    text = (ROOT / name).read_text()
    pins = re.findall(r"^([\w.-]+)==(\S+ (?:; [^\\]+)?)\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^[\w.-]+==", text, re.MULTILINE))
    return dict(pins)


def test_the_run_time_lock_holds_each_dependency_with_hashes_and_no_development_tool() -> None:
    locked = _locked("requirements.lock").keys()
    assert _project()["runtime"] | {"aiomqtt"} <= locked  # the image has no other way to get this extra
    assert not {"imageio-ffmpeg", "mypy", "pytest", "ruff"} & locked


def test_the_development_lock_holds_each_dependency_with_hashes_in_the_run_time_versions() -> None:
    locked, runtime = _locked("requirements-dev.lock"), _locked("requirements.lock")
    assert _project()["dev"] | _project()["runtime"] <= locked.keys()
    versions = {name: version.split()[0] for name, version in locked.items()}
    assert {name: version.split()[0] for name, version in runtime.items()}.items() <= versions.items()
