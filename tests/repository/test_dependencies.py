"""Each dependency is explained in the README and pinned in the lock file."""

import re
import tomllib

from tests.support.paths import ROOT


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
