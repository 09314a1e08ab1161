"""`videoanalysis analyze`: what it analyses, remembers, says and writes."""

import csv
import json
import os
import pty
import re
import select
import struct
import sys
import termios
from collections import Counter
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path
from subprocess import Popen
from typing import Any

import asyncpg
import pytest
import rich_click as click

from app.command.analysing.engine import locked_folder
from app.command.analyze import analyze
from app.command.output import CommandError
from tests.support.clips import marker_clip, text_as_mp4
from tests.support.command import command_environment, run_command
from tests.support.paths import ROOT
from tests.support.waiting import until

Json = dict[str, Any]


@pytest.fixture
def databases(scenarios_dsn: str, predictions_dsn: str) -> list[str]:
    """Options that keep what is analysed in the tests' databases."""
    return ["--scenarios-dsn", scenarios_dsn, "--predictions-dsn", predictions_dsn]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_is_named_is_analysed_once_told_and_written(tmp_path: Path, databases: list[str]) -> None:
    yard = tmp_path / "yard"
    (yard / "cam 1").mkdir(parents=True)
    (yard / ".hidden").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    marker_clip(yard / "a.mp4", frames=6)
    marker_clip(yard / "cam 1" / "a.mp4", frames=4)
    marker_clip(elsewhere / "x-1.avi", frames=2, codec="mjpeg")
    (elsewhere / "x-link.avi").symlink_to(elsewhere / "x-1.avi")
    text_as_mp4(yard / "broken.mp4")
    (yard / "notes.txt").write_text("of the yard")
    marker_clip(yard / ".hidden" / "a.mp4", frames=4)
    asked = [
        *("analyze", "yard", "yard/a.mp4", "elsewhere/x-*", "nowhere.mp4", "--detector", "marker"),
        *("--all-frames", "--recorded-at", "a_%Y%m%d", "--timezone", "UTC", *databases),
    ]

    first = run_command(
        tmp_path,
        *asked,
        "--export",
        "found.csv",
        "--export",
        "found.json",
        "--events",
        os.fsdecode(b"\xff.jsonl"),
        "--json",
    )
    assert first.code == 1
    report: Json = json.loads(first.output)
    files = {each["file"]: each for each in report["files"]}
    assert {name: each["outcome"] for name, each in files.items()} == {
        "yard/a.mp4": "completed",
        "yard/broken.mp4": "failed",
        "yard/cam 1/a.mp4": "completed",
        "elsewhere/x-1.avi": "completed",
        "nowhere.mp4": "failed",
    }
    assert [files[name]["frames"] for name in ("yard/a.mp4", "yard/cam 1/a.mp4", "elsewhere/x-1.avi")] == [
        6,
        4,
        2,
    ]
    assert {each["label"]: each["detections"] for each in files["elsewhere/x-1.avi"]["labels"]} == {
        "aruco:0": 1,
        "aruco:1": 1,
    }
    assert files["yard/broken.mp4"]["error"].startswith("yard/broken.mp4 is not a video")
    assert files["nowhere.mp4"]["error"] == "There is no such file or folder."
    assert report["skipped"] == ["yard/notes.txt"]
    assert report["undated"] == ["yard/a.mp4", "yard/broken.mp4", "yard/cam 1/a.mp4", "elsewhere/x-1.avi"]
    assert report["exports"] == ["found.csv", "found.json", r"\udcff.jsonl"]
    assert "yard/a.mp4: analysed: 6 frames, 6 detections\n" in first.errors
    assert "Traceback" not in first.errors
    assert Counter((row["scenario"], row["label"]) for row in rows_of(tmp_path / "found.csv")) == Counter(
        (name, f"aruco:{number}")
        for name, count in (("yard/a.mp4", 6), ("yard/cam 1/a.mp4", 4), ("elsewhere/x-1.avi", 2))
        for number in range(count)
    )
    coco = json.loads((tmp_path / "found.json").read_text())
    assert "yard/cam 1/a.mp4/000000003.jpg" in {each["file_name"] for each in coco["images"]}
    assert len(coco["annotations"]) == 12
    assert not list(tmp_path.glob(".*.part"))
    events = (tmp_path / os.fsdecode(b"\xff.jsonl")).read_text().splitlines()
    assert len(events) == 12  # a label each, although this detector's objects are not followed

    marker_clip(yard / "a.mp4", frames=5)
    (yard / "cam 1" / "a.mp4").touch()
    second = run_command(tmp_path, *asked, "--export", "found.csv")
    assert second.code == 1
    assert "yard/a.mp4: analysed: 5 frames, 5 detections\n" in second.errors
    assert "yard/cam 1/a.mp4: was analysed before: 4 frames, 4 detections\n" in second.errors
    assert len(rows_of(tmp_path / "found.csv")) == 11
    lines = second.output.splitlines()
    assert lines[0] == "OBJECTS\tDETECTIONS\tFRAMES\tLABEL\tFILE"
    assert "\t1\t1 of 5\taruco:4\tyard/a.mp4" in lines
    assert "Written: found.csv" in lines
    assert (
        "1 file was skipped, because the ending is not that of a video (.txt): name a file itself"
        in second.output
    )
    assert lines[-3] == "Failed: 2 of 5"
    assert lines[-2].startswith("  yard/broken.mp4 is not a video")
    assert lines[-1] == "  nowhere.mp4: There is no such file or folder."
    assert "] yard/broken.mp4 is not a video, or is incomplete" in second.errors


SLOW = '''
import time
from msgspec import Struct


class Slow(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="slow"):
    """Waits after the first pictures, unless a file says go. Label: `seen`."""

    go: str = "go"

    def make_detector(self):
        return SlowDetector()


class SlowDetector:
    is_single_threaded = False

    def detect(self, picture, frame):
        import pathlib
        if frame > 20 and not pathlib.Path("go").exists():
            time.sleep(1)  # what a slow detector takes, so that Ctrl-C comes in the middle
        yield "seen", 0.5, 1, 1, 9, 9
'''


class Terminal:
    """A command on a terminal of 80 columns."""

    def __init__(self, folder: Path, arguments: list[str]) -> None:
        master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self._master = master
        self.shown = ""
        self.process = Popen(
            [sys.executable, "-P", "-m", "app.command", *arguments],
            cwd=folder,
            env=command_environment() | {"PYTHONPATH": f"{folder}:{ROOT}", "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def shows(self, pattern: str) -> bool:
        """Return whether it has shown what the pattern matches. Raises AssertionError if it never will."""
        is_closed = self._read()
        is_shown = re.search(pattern, self.shown) is not None
        assert is_shown or not is_closed, self.shown[-3000:]
        return is_shown

    def has_ended(self) -> bool:
        """Return whether the command has ended. It could not if nobody read what it shows."""
        self._read()
        return self.process.poll() is not None

    def _read(self) -> bool:
        """Read what is there, and return whether nothing can come any more."""
        while select.select([self._master], [], [], 0)[0]:
            try:
                part = os.read(self._master, 65_536)
            except OSError:  # nobody has the other end open
                return True
            if not part:
                return True
            self.shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", part.decode(errors="replace"))
        return False

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def slow_folder(tmp_path: Path) -> Path:
    """A folder with a clip, and a plug-in that the command finds there."""
    (tmp_path / "slow.py").write_text(SLOW)
    metadata = tmp_path / "slow-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[videoanalysis.detectors]\nslow = slow:Slow\n")
    marker_clip(tmp_path / "clip.mp4", frames=300)
    return tmp_path


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    started: list[Terminal] = []
    yield started
    for each in started:
        each.close()


async def test_ctrl_c_stops_and_the_same_command_goes_on_after_the_last_stored_frame(
    slow_folder: Path, databases: list[str], predictions_dsn: str, terminals: list[Terminal]
) -> None:
    asked = ["analyze", "clip.mp4", "-d", "slow", "--all-frames", *databases]
    terminal = Terminal(slow_folder, [*asked, "--export", "found.csv"])
    terminals.append(terminal)
    await until(lambda: terminal.shows(r"clip\.mp4 .* [1-9]\d* frames"), timeout=120)
    terminal.type("\x03")
    await until(terminal.has_ended, timeout=60)
    assert terminal.process.returncode == 130
    await until(lambda: terminal.shows(r"Error: Stopped\. The same command goes on with what is left\."))
    assert not (slow_folder / "found.csv").exists()
    connection = await asyncpg.connect(predictions_dsn)
    (stored,) = await connection.fetch("SELECT scenario_id, next_frame, attempt FROM checkpoints")
    assert 0 < stored["next_frame"] < 300

    (slow_folder / "go").touch()
    again = Terminal(slow_folder, [*asked, "--export", "found.csv"])
    terminals.append(again)
    await until(again.has_ended, timeout=120)
    await until(lambda: again.shows("Written: found.csv"))
    assert "An earlier command was interrupted: its runs are ended first." in again.shown
    assert again.process.returncode == 0
    assert re.search(r"\d+ +300 +300 of 300 +seen +clip\.mp4", again.shown)
    (ended,) = await connection.fetch("SELECT scenario_id, next_frame, attempt FROM checkpoints")
    await connection.close()
    assert (ended["scenario_id"], ended["next_frame"]) == (stored["scenario_id"], 300)
    assert ended["attempt"] > stored["attempt"]
    assert [int(row["frame"]) for row in rows_of(slow_folder / "found.csv")] == list(range(300))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["clip.mp4", "--option", "confidence"], "The option 'confidence' has no value"),
        (["clip.mp4", "--option", "confidence=2"], "`detector.confidence` must be a number at most 1"),
        (["clip.mp4", "--export", "found.doc"], "The ending of 'found.doc' names no format"),
        (["clip.mp4", "--export", "no/found.csv"], "is in a folder that does not exist: create no"),
        (["clip.mp4", "--export", "found.csv/"], "leave out the '/' at its end"),
        (["clip.mp4", "--export", "/proc/found.csv"], "'/proc/found.csv' cannot be written: "),
        (["clip.mp4", "--events", "found.json"], "Events are exported as"),
        (["clip.mp4", "--export", "a.csv", "--events", "./a.csv"], "Two exports have the same name"),
        (["clip.mp4", "clip2.mp4", "--export", "found.txt"], "is of one video"),
        (["clip.mp4", "--detector", "onnx", "--option", "model=x.onnx"], "There is no model 'x.onnx'"),
        (["clip.mp4", "--recorded-at", "%Y%m%d"], "need a time zone, as in --timezone Europe/Berlin."),
        (["clip.mp4", "--fps", "nan"], "--fps must be a number of frames"),
        (
            ["clip.mp4", "--request", "no.json"],
            "The file 'no.json' of --request cannot be read: no such file",
        ),
        (["clip.mp4", "--timezone", "Europe/Berlin"], "give --recorded-at, too"),
        (["clip.mp4", "--request", "none.json", "--events", "a.csv"], "--events has nothing to write"),
        (["clip.mp4", "--request", "notes.txt"], "'notes.txt' is no JSON object"),
        (["clip.mp4", "-d", "onnx", "-O", os.fsdecode(b"model=\xff.onnx")], r"\udcff.onnx' is not in UTF-8"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_analysed(
    tmp_path: Path, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("clip.mp4", "clip2.mp4", "notes.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "none.json").write_text('{"tracking": null, "presence": null}')
    monkeypatch.chdir(tmp_path)
    with pytest.raises((CommandError, click.UsageError), match=re.escape(said)) as caught:
        analyze.main(arguments, standalone_mode=False)
    assert isinstance(caught.value, CommandError | click.UsageError)
    assert caught.value.exit_code == 2
    assert not (tmp_path / ".videoanalysis").exists()


def test_why_its_database_does_not_start_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_text("x")
    ended = run_command(tmp_path, "analyze", "clip.mp4", postgres_bin=str(tmp_path))
    assert ended.code == 1
    assert ended.errors.startswith(f"Error: {tmp_path} has no executable postgres: set VA_POSTGRES_BIN ")
    assert "Traceback" not in ended.errors


def test_a_folder_that_another_command_uses_is_refused(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path / "data"),
        pytest.raises(CommandError, match="Another `videoanalysis analyze` uses the folder"),
        locked_folder(tmp_path / "data"),
    ):
        pass
