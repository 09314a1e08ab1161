"""docs/fleet.md names only what there is."""

import re

from app.settings import VARIABLES
from tests.support.paths import ROOT

GUIDE = ROOT / "docs" / "fleet.md"


def test_every_variable_in_the_guide_is_a_setting() -> None:
    named = set(re.findall(r"VA_[A-Z_]*[A-Z](?![A-Z_])", GUIDE.read_text()))
    assert len(named) > 20
    assert named <= VARIABLES.keys()


def test_every_link_in_the_guide_leads_somewhere() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", GUIDE.read_text())
    assert links
    assert all((GUIDE.parent / link).exists() for link in links)
