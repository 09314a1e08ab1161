"""The command as a whole: its help, its exit codes, and what its output does to a terminal."""

import json
import subprocess
import sys
from errno import EPIPE
from io import BytesIO, StringIO, TextIOWrapper

import pytest
import rich_click as click

from app.command import main as command_module
from app.command.main import COMMANDS, load, main
from app.command.output import CommandError, print_error, print_json, print_line, printable
from tests.support.paths import ROOT

HOSTILE = "cam \x1b[2J\x9b31m\u202e\ud800\U000e0041 ü 🚗\n"


def called(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int | str | None:
    """Run the command in this process, and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["videoanalysis", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code


def test_help_imports_no_sub_command_and_nothing_heavy() -> None:
    program = (
        "import sys\nfrom app.command.main import main\n"
        "try: main()\n"
        "except SystemExit as exit: print(sorted(sys.modules), file=sys.stderr); raise"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "Usage: videoanalysis" in done.stdout
    loaded = done.stderr
    for name in ("cv2", "numpy", "onnxruntime", "httpx", "litestar", "asyncpg", "app.settings"):
        assert f"'{name}'" not in loaded
    for name in COMMANDS:
        assert name in done.stdout
        assert f"'app.command.{COMMANDS[name].module}'" not in loaded


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_sub_command_is_listed_with_the_first_sentence_of_its_help(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert (command.help or "").startswith(f"{COMMANDS[name].summary}\n")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("videoanalysis ba", ["batches"]),
        ("videoanalysis batches st", ["start", "stop"]),
        ("videoanalysis ls --ou", ["--outcome"]),
    ],
)
def test_a_shell_completes_commands_and_options(
    words: str, completed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_VIDEOANALYSIS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    assert called([], monkeypatch) == 0
    assert capsys.readouterr().out.splitlines() == [f"plain,{each}" for each in completed]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nonsense"], "No such command 'nonsense'"), (["--nonsense"], "No such option '--nonsense'")],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(arguments, monkeypatch) == 2
    assert capsys.readouterr().err == f"Error: {said}. See: videoanalysis --help\n"


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (CommandError("The disk is full.", 3), 3, "Error: The disk is full.\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_sub_command_raises_is_a_sentence_and_an_exit_code(
    raised: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(command_module.videoanalysis, "main", fail)
    assert called([], monkeypatch) == code
    assert capsys.readouterr().err == said


def test_who_reads_no_more_of_the_output_has_read_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError(EPIPE, "nobody reads")

    @click.command("ls")
    def ls() -> None:
        print_line("a line")

    monkeypatch.setattr(command_module, "load", lambda _name: ls)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert called(["ls"], monkeypatch) == 0
    assert sys.stdout is sys.stderr  # so that nothing is written at exit


def test_text_of_a_service_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    shown = r"cam \x1b[2J\x9b31m\u202e\ud800\U000e0041 ü 🚗\n"
    assert printable(HOSTILE) == shown
    print_error(HOSTILE)
    assert capsys.readouterr().err == f"Error: {shown[:-2]}\n"


def test_json_means_what_it_meant_and_does_not_drive_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    value = {"name": HOSTILE.replace("\ud800", "")}
    print_json(value)
    printed = capsys.readouterr().out
    assert json.loads(printed) == value
    assert printed.rstrip("\n").isprintable()
    assert "ü 🚗" in printed


def test_a_terminal_that_is_not_utf_8_shows_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, "latin-1", write_through=True))

    def say(**_: object) -> None:
        print_json({"name": "ü 🚗"})
        print_line("ü 🚗")

    monkeypatch.setattr(command_module.videoanalysis, "main", say)
    assert called([], monkeypatch) == 0
    in_json, in_line = written.getvalue().decode("latin-1").splitlines()
    assert json.loads(in_json) == {"name": "ü 🚗"}
    assert in_line == r"ü \U0001f697"
