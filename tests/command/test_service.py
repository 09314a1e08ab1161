"""The sub-commands that use a running service, piped and in a terminal."""

import csv
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import cv2
import pytest

from app.client import Client, EventRecord
from app.command.main import main
from tests.support.clips import marker_clip
from tests.support.models import yolov8
from tests.support.paths import ROOT
from tests.support.pictures import plain
from tests.support.service import ServiceProcess, running_for_tests
from tests.support.webhook_receiver import SECRET

HOSTILE = "\x1b[2Jfront\u202e door\n"
SHOWN = r"\x1b[2Jfront\u202e door\n"
CHANNELS = f"""
[channels.nobody]
type = "webhook"
url = "http://127.0.0.1:1/"
secret = "{SECRET}"
"""
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Done(NamedTuple):
    """A call of the command: its exit code, and what it printed."""

    code: object
    out: str
    err: str

    def json(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


Call = Callable[[str], Done]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("service")
    (folder / "models").mkdir()
    yolov8(folder / "models" / "boxes.onnx")
    channels = folder / "channels.toml"
    channels.write_text(CHANNELS)
    with running_for_tests(folder, channels_file=channels, model_root=folder / "models") as running:
        marker_clip(running.media / "clip.mp4", frames=10)
        (running.media / "broken.mp4").write_text("no video")
        yield running


@pytest.fixture
def call(
    service: ServiceProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Call:
    """Return a function that runs a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIDEOANALYSIS_URL", f"http://127.0.0.1:{service.port}")

    def run(line: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["videoanalysis", *shlex.split(line)])
        with pytest.raises(SystemExit) as exit_:
            main()
        return Done(exit_.value.code, *capsys.readouterr())

    return run


def test_a_scenario_from_submit_to_rm(call: Call, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"presence": {}, "tags": ["of the file"]}')
    made = call(
        f"submit clip.mp4 -d marker --all-frames --name {shlex.quote(HOSTILE)} --request more.json --watch"
    )
    assert (made.code, made.err) == (0, "")
    first, *told = made.out.splitlines()
    assert ID.fullmatch(first)
    assert told[-1].startswith("completed  100 %  10 detections")

    listed = call("ls --outcome completed --tag 'of the file'").out
    assert listed == f"ID\tSTATE\tDONE\tNAME\n{first}\tcompleted\t100 %\t{SHOWN}\n"
    (scenario,) = call("ls --tag 'of the file' --json").json()
    assert (scenario["id"], scenario["name"]) == (first, HOSTILE)
    shown = call(f"show {shlex.quote(HOSTILE)}")
    assert f"\nname        {SHOWN}\n" in shown.out
    assert call(f"show {first} --json").json() == [scenario]

    events = call(f"events {first} --label aruco:3")
    assert events.out.splitlines()[1].split("\t")[2:4] == ["presence", "aruco:3"]
    newest = call(f"events {first} --newest -n 2 --json").json()
    assert [event["label"] for event in newest] == ["aruco:9", "aruco:8"]
    assert call("events --follow --newest").code == 2
    assert "2026-01-31T09:30:00Z. See: videoanalysis events" in call("events --from yesterday").err

    written = call(f"export {first} -o out.csv --label aruco:4")
    assert written.out == f"out.csv  {(tmp_path / 'out.csv').stat().st_size} bytes\n"
    assert call(f"export {first} -o -").out.splitlines()[0].startswith("scenario_id,")
    with (tmp_path / "out.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["aruco:4"]
    refused = call("export nobody -o out.xyz")
    assert (refused.code, refused.out) == (2, "")
    assert "The ending of 'out.xyz' tells no format: give --format." in refused.err
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "away.csv").symlink_to("away/out.csv")
    for place, said in (
        ("no/such/folder.csv", "there is no folder 'no/such': make it first."),
        (".", "'.' is a folder: give the name of a file in it."),
        ("..", "'..' is a folder: give the name of a file in it."),
        ("''", "it is empty: give the name of a file."),
        ("loop.csv", "no file can be 'loop.csv': "),
        ("away.csv", "/away': make it first."),
    ):
        refused = call(f"export nobody -o {place} --url http://127.0.0.1:1")  # so it is not asked
        assert (refused.code, said in refused.err) == (2, True)

    (started,) = call(f"start {first} --json").json()
    assert started["id"] == first
    assert call(f"watch {first}").code == 0
    assert call(f"stop {first}").out == f"{first}  completed\n"
    asked = call(f"rm {first}")
    assert (asked.code, asked.err) == (2, "Error: Nobody can be asked here: give --yes to delete.\n")
    assert call(f"rm --yes --stop {first} {first}").out == f"{first}  deleted\n"
    gone = call(f"show {first}")
    assert (gone.code, gone.err) == (
        1,
        f"Error: There is no scenario {first}. videoanalysis ls lists those that exist.\n",
    )
    assert call("show nobody").err == (
        "Error: There is no scenario named 'nobody': videoanalysis ls lists all.\n"
    )

    unnamed = call("submit test:testsrc2?duration=1 -d marker").out.strip()
    assert call("ls").out.splitlines()[1].split("\t")[3] == "test:testsrc2?duration=1"
    assert call("show test:testsrc2?duration=1").out.startswith(f"id          {unnamed}\n")
    for line in ("show ''", "events ''", "ls --batch ''"):
        empty = call(line)
        assert (empty.code, "is empty: give its name or its id" in empty.err) == (2, True)
    # A name is looked for if no id fits.
    named = call(f"submit clip.mp4 -d marker --name {first}").out.strip()
    assert call(f"show {first}").out.startswith(f"id          {named}\n")
    camera = call("submit rtsp://user:secret@127.0.0.1:1/stream -d marker").out.strip()
    listed_as = call("ls").out.splitlines()[1].split("\t")[3]
    assert call(f"show {shlex.quote(listed_as)}").out.startswith(f"id          {camera}\n")


def test_the_exit_code_tells_the_outcome(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "detector.json").write_text('{"detector": "marker"}')
    failed = call("submit broken.mp4 -d marker --name twin --watch --json")
    assert failed.code == 1
    assert failed.err.startswith("Error: It failed: ")
    assert failed.json()[-1]["outcome"] == "failed"
    endless = call("submit 'test:testsrc2?duration=3600' -d marker --name twin").out.strip()
    late = call(f"watch {endless} --timeout 0.3")
    assert (late.code, late.err) == (4, "Error: The scenario has not ended within 0.3 s. It goes on.\n")
    with monkeypatch.context() as patch:
        patch.setattr("app.client.blocking.sleep", interrupt)
        left = call(f"watch {endless}")
    assert left.code == 130
    assert left.err.strip() == f"The scenario goes on. videoanalysis stop {endless}  stops it."
    several = call("stop twin")
    assert several.code == 1
    assert several.err.startswith("Error: Several have the name 'twin'. Give the id of one: ")
    assert call(f"stop {endless}").code == 0
    stopped = call(f"watch {endless}")
    assert (stopped.code, stopped.err) == (
        4,
        "Error: It was stopped before its end. videoanalysis start resumes it.\n",
    )
    assert call("submit clip.mp4 -d nonsense").code == 1
    wrong = call("submit clip.mp4 -O confidence")
    assert (wrong.code, "The option 'confidence' has no value: write it" in wrong.err) == (2, True)
    for source, options in (
        ("clip.mp4", "--request detector.json"),
        (os.fsdecode(b"'\xff.mp4'"), "-d marker"),
        ("clip.mp4", "-d marker --key 'Nacht für Nacht'"),
    ):
        wrong = call(f"submit {source} {options}")
        assert (wrong.code, wrong.out, "Traceback" in wrong.err) == (2, "", False)
    away = call("ls --url http://127.0.0.1:1")
    assert (away.code, away.out) == (3, "")
    assert away.err.startswith("Error: The service at http://127.0.0.1:")
    assert call("ls --url localhost:8000").code == 2


def test_events_are_followed_as_they_happen(
    call: Call, service: ServiceProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[EventRecord] = []
    may_end = Event()

    def tell(event: EventRecord) -> None:
        told.append(event)
        raise KeyboardInterrupt

    def keep_happening() -> None:
        with Client(f"http://127.0.0.1:{service.port}") as client:
            while not may_end.is_set():  # the stream may begin after the first
                made = client.scenarios.create(
                    "clip.mp4", {"type": "marker"}, sampling={"mode": "all"}, presence={}
                )
                client.wait(made.id, every=0.1)

    monkeypatch.setattr("app.command.events.print_json", tell)
    thread = Thread(target=keep_happening)
    thread.start()
    try:
        assert call("events --follow --json --label aruco:6 --kind presence").code == 130
    finally:
        may_end.set()
        thread.join()
    assert [(event.label, event.start_frame) for event in told] == [("aruco:6", 6)]


def test_batches_models_and_channels(call: Call, tmp_path: Path) -> None:
    made = call("batches create '*.mp4' -d marker --name all --tag yard").out.strip()
    watched = call("batches watch all")
    assert watched.code == 1
    assert watched.out.splitlines()[-1] == "done  1 of 2 completed, 1 failed"
    assert watched.err == "Error: Failed: 1 of 2 files.\n"
    assert call("batches ls").out.splitlines()[1] == f"{made}\tdone\t1 of 2 completed, 1 failed\tall"
    assert "\nfailed   broken.mp4: " in call("batches show all").out
    unnamed = call("batches create 'nothing*.mp4' -d marker").out.strip()
    assert call("batches show 'nothing*.mp4'").out.startswith(f"id       {unnamed}\n")
    assert call("batches stop all").code == 0
    assert call("batches start all --failed").code == 0
    assert call(f"ls --batch {made} --json").json()[0]["batch"] == made
    assert call("export --batch all -f coco -o - --min-confidence 0.5").out.startswith('{"info"')
    assert call("batches rm all --stop --yes --json").json() == [{"id": made, "deleted": True}]

    assert call("models ls").out.splitlines()[1].startswith("boxes.onnx\tunderstood\t")
    assert "\nstate    understood\n" in call("models show boxes.onnx").out
    (tmp_path / "plain.jpg").write_bytes(cv2.imencode(".jpg", plain())[1].tobytes())
    assert call("models try boxes.onnx plain.jpg").out.startswith("LABEL\tCONFIDENCE\t")

    assert call("channels ls").out.splitlines()[1].startswith("nobody\twebhook\t")
    dead = call("channels test nobody --json")
    assert (dead.code, dead.json()[0]["state"]) == (1, "dead")
    assert dead.err.startswith("Error: The channel did not take the message: ")


def test_in_a_terminal_there_is_a_table_of_its_width_and_a_progress_bar(
    call: Call, service: ServiceProcess
) -> None:
    made = call(f"submit clip.mp4 -d marker --name {shlex.quote(HOSTILE * 10)}").out.strip()
    said = in_terminal(service, f"watch {made}")
    assert "Completed: " in said
    assert "\x1b[?25l" in said  # the cursor is hidden while there is a bar
    said = in_terminal(service, "ls -n 1")
    lines = said.replace("\r", "").splitlines()
    assert re.match(r"\x1b\[1mID +\x1b\[0m", lines[0])  # bold
    assert lines[1].startswith(f"{made}  completed  100 %  ")
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in lines) <= 80
    assert "\x1b[2J" not in said
    assert "\u202e" not in said
    assert r"\x1b[2J" in said


def interrupt(_seconds: float) -> None:
    raise KeyboardInterrupt


def in_terminal(service: ServiceProcess, line: str) -> str:
    """Return what a command prints in a terminal of 80 columns, when it has exited with 0."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    environment = {
        **os.environ,
        "VIDEOANALYSIS_URL": f"http://127.0.0.1:{service.port}",
        "TERM": "xterm-256color",
    }
    command = [sys.executable, "-m", "app.command", *shlex.split(line)]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as run:
        os.close(theirs)
        said = bytearray()
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # what Linux says when the other end is closed
                break
            if not part:
                break
            said += part
        assert run.wait(60) == 0, said.decode()
    os.close(ours)
    return said.decode()


def test_shells_complete_names_and_ids(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    (scenario_id,) = call("submit clip.mp4 -d marker --name 'gate; rm'").out.split()
    call("submit clip.mp4 -d marker --name 'gate, wide'")
    call("submit clip.mp4 -d marker --name 'yard $(x)'")
    call("""submit clip.mp4 -d marker --name "yard's" """)
    call("submit clip.mp4 -d marker --name=--yes")
    batch = call("batches create none/*.mp4 --name 'gate batch'").out.strip()

    def completed(shell: str, *words: str, url: str | None = None) -> str:
        monkeypatch.setenv("_VIDEOANALYSIS_COMPLETE", f"{shell}_complete")
        separator = "\n" if shell == "bash" else " "
        monkeypatch.setenv("COMP_WORDS", separator.join(["videoanalysis", *words]))
        monkeypatch.setenv("COMP_CWORD", words[-1] if shell == "fish" else str(len(words)))
        if url is not None:
            monkeypatch.setenv("VIDEOANALYSIS_URL", url)
        done = call("")
        assert (done.code, done.err) == (0, "")
        return done.out

    assert completed("zsh", "show", "gat") == "plain\ngate, wide\nclip.mp4\nplain\ngate; rm\nclip.mp4\n"
    assert completed("fish", "show", "gat") == "plain,gate; rm\tclip.mp4\n"  # it would cut at the comma
    assert completed("bash", "show", "'gate; ") == "plain,gate; rm\n"
    # Within the quotation marks that were opened, the first would be a command, and the second end them.
    assert completed("bash", "show", '"yar') == "plain,yard's\n"
    assert completed("bash", "show", "'yar") == "plain,yard $(x)\n"
    assert "--yes" not in completed("bash", "rm", "")
    # bash reads one of two backslashes.
    assert completed("bash", "stop", "gat") == r"plain,gate,\\ wide" + "\n" + r"plain,gate\\;\\ rm" + "\n"
    assert completed("bash", "stop", "gate\\;\\ rm", "gat") == r"plain,gate,\\ wide" + "\n"
    assert completed("bash", "show", scenario_id[:8]) == f"plain,{scenario_id}\n"
    assert completed("bash", "export", "--batch", batch[:8]) == f"plain,{batch}\n"
    assert completed("zsh", "batches", "show", "gate") == "plain\ngate batch\nnone/*.mp4\n"
    assert completed("bash", "channels", "test", "") == "plain,nobody\n"
    assert completed("bash", "models", "try", "b") == "plain,boxes.onnx\n"
    assert completed("bash", "show", "gat", url="http://127.0.0.1:1").strip() == ""
