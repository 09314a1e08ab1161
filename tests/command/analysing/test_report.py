"""What is said at the end."""

from pathlib import Path

import pytest

import app
from app.command.analysing.options import OPTIONS, with_options
from app.command.analysing.report import AnalysisReport, FileReport, print_report


def test_what_is_true_of_many_files_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    files = [FileReport(file=name, outcome="completed", warnings=["It is dark."]) for name in ("a", "b")]
    print_report(AnalysisReport(files, [], [], ["a"]))
    said = capsys.readouterr().out
    assert said.count("Warning: 2 files, such as a: It is dark.\n") == said.count("It is dark.") == 1
    assert "Warning: a: --recorded-at finds no date in the name" in said


def test_sentences_name_options_of_the_command() -> None:
    tree = "".join(
        path.read_text() for path in Path(app.__file__).parent.rglob("*.py") if path.name != "options.py"
    )
    assert [text for text in OPTIONS if text not in tree] == []
    assert with_options("the disk of VA_DATA_DIR") == "the disk of --data"
