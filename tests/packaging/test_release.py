"""`make release`, in a clone of this repository."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from app import __version__
from tests.support.paths import ROOT
from tools.release import RELEASES, ReleaseError, begun, release, released

TODAY = date(2027, 1, 31)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Clone this checkout, with the files as they are now and something in the changelog."""
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("needs a git checkout and the git package")
    parent = tmp_path_factory.mktemp("original")
    folder = parent / "clone"
    git(parent, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder))
    names = git(
        ROOT,
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "app",
        "tools",
        "docs",
        "deploy",
        "*.md",
        "*.toml",
    )
    for name in names.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    changelog = folder / "CHANGELOG.md"
    news = "## [Unreleased]\n\n### Added\n\n- Something new.\n"
    changelog.write_text(changelog.read_text().replace("## [Unreleased]\n", news, 1))
    git(folder, "add", "--all")
    with pytest.MonkeyPatch.context() as patch:
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "A Maintainer")
            patch.setenv(f"GIT_{who}_EMAIL", "maintainer@example.org")
        git(folder, "commit", "--quiet", "--allow-empty", "--message", "Add something")
        yield folder


@pytest.fixture
def clone(original: Path, tmp_path: Path) -> Path:
    """A clone of a test's own."""
    folder = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(original), str(folder))
    return folder


def version_of(folder: Path) -> str:
    return (folder / "app" / "__init__.py").read_text().split('"')[-2]


def test_a_dry_run_shows_what_changes_and_changes_nothing(clone: Path) -> None:
    before = git(clone, "rev-parse", "HEAD")
    command = [sys.executable, "-m", "tools.release", "99.0.0", "--dry-run"]
    said = subprocess.run(
        command, cwd=clone, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=True
    ).stdout
    assert '+__version__ = "99.0.0"\n' in said
    assert "+## [99.0.0] - " in said
    assert git(clone, "status", "--porcelain") == ""
    assert git(clone, "rev-parse", "HEAD") == before
    assert git(clone, "tag", "--list", "v99.0.0") == ""


def test_a_release_is_committed_tagged_and_built_and_the_next_version_begun(clone: Path) -> None:
    release(clone, "99.0.0", TODAY, checks=[["true"]])
    assert git(clone, "log", "-2", "--format=%s").splitlines() == [
        "Begin the version after 99.0.0",
        "Release 99.0.0",
    ]
    commit = git(clone, "rev-parse", "v99.0.0^{commit}")
    assert commit == git(clone, "rev-parse", "HEAD~1")
    assert tomllib.loads((clone / RELEASES).read_text())["99.0.0"] == commit
    assert version_of(clone) == "99.1.0.dev0"
    assert '__version__ = "99.0.0"' in git(clone, "show", "v99.0.0:app/__init__.py")
    assert "newTag: 99.0.0" in git(clone, "show", "v99.0.0:deploy/kubernetes/kustomization.yaml")
    changelog = (clone / "CHANGELOG.md").read_text()
    assert "## [Unreleased]\n\n## [99.0.0] - 2027-01-31\n\n### Added\n\n- Something new.\n" in changelog
    assert [path.name for path in (clone / "dist").iterdir()] == ["videoanalysis-99.0.0-py3-none-any.whl"]
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.0", "1.0 is no version: write it as VERSION=1.2.3"),
        ("", "VERSION is no version"),
        ("0.1.0", "0.1.0 is not newer than"),
    ],
)
def test_a_wrong_version_is_refused(clone: Path, version: str, said: str) -> None:
    with pytest.raises(ReleaseError, match=said):
        released(clone, version, TODAY)


def test_a_release_without_news_is_refused(clone: Path) -> None:
    (clone / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [0.1.0] - 2026-11-29\n\n- Old.\n")
    with pytest.raises(ReleaseError, match="nothing under Unreleased"):
        released(clone, "99.0.0", TODAY)


def test_a_checkout_with_changes_is_refused(clone: Path) -> None:
    (clone / "README.md").write_text("changed\n")
    with pytest.raises(ReleaseError, match="not committed"):
        release(clone, "99.0.0", TODAY, checks=[])
    assert version_of(clone) != "99.0.0"


def test_a_failed_check_stops_the_release(clone: Path) -> None:
    with pytest.raises(ReleaseError, match="false failed"):
        release(clone, "99.0.0", TODAY, checks=[["false"]])
    assert git(clone, "status", "--porcelain") == ""


def test_every_earlier_release_of_the_changelog_has_its_commit() -> None:
    commits = tomllib.loads((ROOT / RELEASES).read_text())
    versions = re.findall(r"^## \[(.+)\] - ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert set(versions) - {__version__} == commits.keys()


def test_the_next_version_is_a_development_version_of_the_next_minor_release() -> None:
    assert '__version__ = "99.2.0.dev0"\n' in begun(ROOT, "99.1.2", "c0ffee")["app/__init__.py"]
