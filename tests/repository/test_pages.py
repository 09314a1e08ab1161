"""The pages name only what there is: links, files, settings."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.settings import VARIABLES
from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def _answers() -> Iterator[str]:
    """Yield every file and name of CONTRIBUTING's table of answers: `path` or `path`: `name`."""
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Where is …")[2].partition("\n## ")[0]
    for row in re.findall(r"^\|(.+)\|$", section, re.MULTILINE)[2:]:
        yield row.partition("|")[2]


def test_every_file_and_name_in_the_table_of_answers_exists() -> None:
    answers = list(_answers())
    assert len(answers) >= 8
    for answer in answers:
        paths = [word for word in re.findall(r"`([^`]+)`", answer) if "/" in word or word.startswith(".")]
        assert paths, answer
        assert [path for path in paths if not (ROOT / path).exists()] == []
        code = "\n".join((ROOT / path).read_text() for path in paths if (ROOT / path).is_file())
        names = re.findall(r"`(\w+)`", answer)
        assert [name for name in names if not re.search(rf"\b{name}\b", code)] == []


def test_the_page_of_settings_names_every_variable() -> None:
    text = (ROOT / "docs" / "settings.md").read_text()
    assert set(re.findall(r"^\| (`VA_.+?) \|", text, re.MULTILINE))
    named = {
        name
        for cell in re.findall(r"^\| (`VA_.+?) \|", text, re.MULTILINE)
        for name in cell[1:-1].split("`, `")
    }
    assert named == VARIABLES.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_a_page_have_at_most_132_characters_except_rows_of_tables(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert [line for line in lines if len(line) > 132 and not line.startswith("|")] == []
