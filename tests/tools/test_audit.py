"""`make audit`: what it finds, what can be accepted, and that missing data fails it."""

from datetime import date
from pathlib import Path

import pytest

from tools import audit
from tools.audit import AuditError, find_vulnerable, find_yanked, read_accepted, read_pins

ROOT = Path(__file__).parent.parent.parent
TODAY = date(2026, 11, 23)
LOCK = "h11==0.14.0 \\\n    --hash=sha256:00\n    # via uvicorn\nNumPy==2.4.1 ; python_version >= '3.12' \\\n"
KNOWN = {
    "id": "GHSA-vqfr-h8mv-ghfj",
    "cve": "CVE-2025-43859",
    "advisory": "accepts malformed bodies",
    "fixed_in": "0.16.0",
    "v": "<0.16.0",
}
EXCEPTION = """
[[accepted]]
package = "h11"
id = "GHSA-vqfr-h8mv-ghfj"
reason = "a proxy refuses them"
until = 2026-11-23
"""


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(audit, "fetch_advisories", lambda: {"h11": [KNOWN]})
    monkeypatch.setattr(audit, "ask_index", lambda _: "Would install 2 packages\n")
    (tmp_path / "lock").write_text(LOCK)
    (tmp_path / "exceptions").write_text("")
    return tmp_path / "lock"


def test_every_pin_is_read() -> None:
    assert read_pins(LOCK) == [("h11", "0.14.0"), ("numpy", "2.4.1")]
    text = (ROOT / "requirements-dev.lock").read_text()
    assert len(read_pins(text)) == text.count("\n    # via") > 50


@pytest.mark.parametrize(("version", "is_known"), [("0.14.0", True), ("0.15.0rc1", True), ("0.16.0", False)])
def test_a_vulnerable_version_is_found(version: str, is_known: bool) -> None:
    assert bool(find_vulnerable([("h11", version)], {"H11": [KNOWN]})) is is_known


def test_versions_that_cannot_be_compared_are_found() -> None:
    assert find_vulnerable([("h11", "1.0")], {"h11": [KNOWN | {"v": "<7.2.0-12.1"}]})


def test_a_yanked_release_is_found() -> None:
    said = (
        'warning: `attrs==21.1.0` is yanked (reason: "not (quite) \\"right\\"")\nwarning: `b==1` is yanked\n'
    )
    assert list(find_yanked(said)) == ["attrs yanked", "b yanked"]
    assert find_yanked("Would install 2 packages\n + attrs==21.1.0") == {}


def test_a_finding_fails_the_audit_unless_it_is_accepted(lock: Path) -> None:
    exceptions = lock.with_name("exceptions")
    (finding,) = audit.audit(lock, exceptions, TODAY)
    assert finding.startswith("h11 0.14.0: accepts malformed bodies")
    exceptions.write_text(EXCEPTION)
    assert audit.audit(lock, exceptions, TODAY) == []


def test_exceptions_need_a_reason_expire_and_must_match_a_finding(lock: Path) -> None:
    with pytest.raises(AuditError, match="ended on 2026-11-23"):
        read_accepted(EXCEPTION, date(2026, 11, 24))
    with pytest.raises(AuditError, match="has no reason"):
        read_accepted(EXCEPTION.replace("a proxy refuses them", ""), TODAY)
    lock.write_text(LOCK.replace("0.14.0", "0.16.0"))
    lock.with_name("exceptions").write_text(EXCEPTION)
    with pytest.raises(AuditError, match="remove exceptions without a finding from exceptions: h11"):
        audit.audit(lock, lock.with_name("exceptions"), TODAY)


def test_a_lock_without_pins_fails(lock: Path) -> None:
    lock.write_text("")
    with pytest.raises(AuditError, match="pins no versions"):
        audit.audit(lock, lock.with_name("exceptions"), TODAY)


def test_the_exceptions_of_the_repository_are_in_order() -> None:
    read_accepted((ROOT / "tools" / "audit.toml").read_text(), date.min)
