"""The command as a whole: its help, its exit codes, and what its output does to a terminal."""

import json
import os
import shlex
import subprocess
import sys
from errno import ENOSPC, EPIPE
from io import BufferedWriter, BytesIO, RawIOBase, TextIOWrapper

import pytest
import rich_click as click

from app.client import ClientError
from app.command import main as command_module
from app.command import output
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


def test_the_help_of_analyze_imports_no_engine_and_lists_the_options_of_a_detector(
    capsys: pytest.CaptureFixture[str],
) -> None:
    script = "import sys, app.command.analyze; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"cv2", "av", "litestar", "asyncpg", "onnxruntime"} & set(done.stdout.split())
    load("analyze").main(["--options-of", "marker"], standalone_mode=False)
    assert "\ncodes\taruco\taruco, qr\ndictionary\t5x5_1000\t4x4_100, " in capsys.readouterr().out


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


@pytest.mark.parametrize(
    ("key", "status", "detail", "said"),
    [
        ("", 401, "Send a key of VA_API_KEYS.", "needs an API key. Set the environment variable VIDEOAN"),
        ("wrong", 401, "Send a key of VA_API_KEYS.", "does not accept that key. Set the environment variabl"),
        (
            "viewer",
            403,
            "A key of VA_VIEWER_KEYS may only look.",
            "The key in VIDEOANALYSIS_API_KEY may only",
        ),
        ("", 404, "GET /batches lists those that exist.", "Error: videoanalysis batches ls lists those that"),
    ],
)
def test_a_refusal_names_what_users_of_the_command_have(
    key: str,
    status: int,
    detail: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        raise ClientError(detail, status=status)

    monkeypatch.setattr("app.client.blocking.BlockingTransport.run", refuse)
    monkeypatch.setenv("VIDEOANALYSIS_API_KEY", key)
    assert called(["ls"], monkeypatch) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code", "said"),
    [
        (EPIPE, 0, ""),  # whoever reads the output has read enough, such as `head`
        (ENOSPC, 1, "Error: The output cannot be written: no space left on device.\n"),
    ],
)
def test_output_that_cannot_be_written_ends_the_command(
    number: int, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Refusing(RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _content: object) -> int:
            raise OSError(number, os.strerror(number))

    @click.command("ls")
    def ls() -> None:
        print_line("a line")
        raise AssertionError

    monkeypatch.setattr(command_module, "load", lambda _name: ls)
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(BufferedWriter(Refusing())))
    assert called(["ls"], monkeypatch) == code
    assert sys.stdout is sys.stderr  # so that nothing is written at exit
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [(">&-", 1, "Error: The output cannot be written: bad file descriptor.\n"), ("<&- 2>&-", 0, "")],
)
def test_streams_that_are_closed_are_no_traceback(streams: str, code: int, said: str) -> None:
    line = f"{shlex.quote(sys.executable)} -m app.command --version {streams}"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)
    assert done.stdout.startswith("videoanalysis ") == (code == 0)


TABLES: list[tuple[list[str], list[list[object]], list[str]]] = [
    (
        ["ID", "STATE", "DONE", "NAME"],
        [["d6d5646c-83d1-420d-9705-5bad11a36921", "completed", "12,345 frames", "front door"]],
        ["DONE"],
    ),
    (
        ["OBJECTS", "DETECTIONS", "FRAMES", "LABEL", "FILE"],
        [[3, 1234, "12 of 1200", "person", "recordings/yard.mp4"]],
        ["FRAMES", "OBJECTS"],
    ),
]


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        ("80", ["d6d5646c-83d1-420d-9705-5bad11a36921", "3        1234        12 of 1200  person"]),
        ("40", ["d6d5646c…  completed  front door", "3        1234        person  recordings/"]),
    ],
)
def test_a_narrow_terminal_shows_less_and_no_letters_one_below_the_other(
    columns: str, shown: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", columns)
    for (names, rows, droppable), row in zip(TABLES, shown, strict=True):
        output.print_table(names, rows, droppable=droppable)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) <= 3
        assert lines[1].startswith(row)
        assert max(map(len, lines)) <= int(columns)


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
