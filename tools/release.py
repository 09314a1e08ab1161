"""`make release VERSION=x.y.z`: check, write version and changelog, commit, tag, build the wheel, go on.

With `--dry-run` it checks the version and the changelog, shows what would change, and changes nothing. It
pushes nothing: `git push --follow-tags` and uploading dist/ are left to whoever releases.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from difflib import unified_diff
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHECKS = (("make", "audit"), ("make", "test"))
RELEASES = "tests/compatibility/releases.toml"
UNRELEASED = "## [Unreleased]\n"

Files = dict[str, str]
"""Path below the root → its new text."""

# Where the version stands: path → what comes before it.
_VERSIONED = {
    "app/__init__.py": '__version__ = "',
    "deploy/kubernetes/kustomization.yaml": "newTag: ",
    "docs/fleet.md": "videoanalysis:",
}


class ReleaseError(Exception):
    """The release cannot be made, and nothing was changed. The text is one line for the user."""


def release(root: Path, version: str, today: date, checks: Sequence[Sequence[str]] = CHECKS) -> None:
    """Make the release `version` of the checkout at `root`. Raises ReleaseError."""
    changed = released(root, version, today)
    if _git(root, "status", "--porcelain"):
        raise ReleaseError("there are changes that are not committed: commit or stash them")
    for check in checks:
        if subprocess.run(check, cwd=root, check=False).returncode:
            raise ReleaseError(f"{' '.join(check)} failed")
    _commit(root, changed, f"Release {version}")
    _git(root, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")
    commit = _git(root, "rev-parse", "HEAD")
    _run(
        root, sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps",
        "--no-build-isolation", "--wheel-dir", "dist", ".",
    )  # fmt: skip
    _commit(root, begun(root, version, commit), f"Begin the version after {version}")


def released(root: Path, version: str, today: date) -> Files:
    """Return the files of the release commit. Raises ReleaseError for a wrong version or empty changelog."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ReleaseError(f"{version or 'VERSION'} is no version: write it as VERSION=1.2.3")
    changelog = (root / "CHANGELOG.md").read_text()
    earlier = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", changelog, re.MULTILINE)
    if earlier and _order(version) <= max(map(_order, earlier)):
        raise ReleaseError(f"{version} is not newer than {max(earlier, key=_order)}")
    news = changelog.partition(UNRELEASED)[2].partition("\n## ")[0]
    if not re.search(r"^- ", news, re.MULTILINE):
        raise ReleaseError("CHANGELOG.md has nothing under Unreleased")
    heading = f"{UNRELEASED}\n## [{version}] - {today}\n"
    return {**_versioned(root, version), "CHANGELOG.md": changelog.replace(UNRELEASED, heading, 1)}


def begun(root: Path, version: str, commit: str) -> Files:
    """Return the files of the commit after a release: the next development version, the release's commit."""
    major, minor, _ = _order(version)
    return {
        **_versioned(root, f"{major}.{minor + 1}.0.dev0"),
        RELEASES: (root / RELEASES).read_text() + f'"{version}" = "{commit}"\n',
    }


def shown(root: Path, files: Files) -> str:
    """Return what changes, as a unified diff."""
    diffs = (
        unified_diff((root / name).read_text().splitlines(True), text.splitlines(True), name, name, n=1)
        for name, text in files.items()
    )
    return "".join(line for diff in diffs for line in diff)


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _versioned(root: Path, version: str) -> Files:
    return {
        name: re.sub(rf"(?<={re.escape(before)})\d+\.\d+\.\d+(\.dev\d+)?", version, (root / name).read_text())
        for name, before in _VERSIONED.items()
    }


def _commit(root: Path, files: Files, subject: str) -> None:
    for name, text in files.items():
        (root / name).write_text(text)
    _git(root, "commit", "--quiet", "--message", subject, "--", *files)


def _git(root: Path, *arguments: str) -> str:
    return _run(root, "git", *arguments)


def _run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"{' '.join(command[:4])} … failed: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout.strip()


def main() -> None:
    """Read the command line; exit with one line if the release cannot be made."""
    parser = argparse.ArgumentParser(prog="make release")
    parser.add_argument("version", nargs="?", default="")
    parser.add_argument("--dry-run", action="store_true", help="change nothing")
    options = parser.parse_args()
    today = datetime.now(UTC).date()
    try:
        if options.dry_run:
            print(shown(ROOT, released(ROOT, options.version, today)), end="")
        else:
            release(ROOT, options.version, today)
            print(f"Released {options.version}: git push --follow-tags, and upload dist/")
    except ReleaseError as error:
        sys.exit(f"release: {error}")


if __name__ == "__main__":
    main()
