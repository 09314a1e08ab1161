"""Mutated recordings and decompression bombs: no crash, no surprise, and memory stays bounded.

1,000 mutations, 10,000 at full length. They are read in processes of their own, so that a crash
is seen from outside; and by a service, of which the process, its memory and the databases are looked at.
Each limit on bombs is also taken out, to see that it is this limit that holds.
"""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from msgspec import Struct

from app.video import declared_index, formats, tracks
from app.video.avi_lists import AviEntries
from app.video.declared_index import Index, check_index
from app.video.errors import VideoError
from tests.support.clips import marker_clip
from tests.support.paths import ROOT
from tests.support.service import running
from tests.torture.battery import LONG, Battery, size
from tests.torture.media import bombs
from tests.torture.media.mutations import make_clips, measured, mutations, peak_memory, read
from tests.torture.openings import files

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's way to measure memory")

ROW = 8
COUNT = size(1_000, 10_000)
SERVED = size(40, 600)
BATCH = 500


class Outcome(Struct, frozen=True):
    """What became of one mutation. `memory` is in MiB."""

    number: int
    seconds: float
    memory: float
    said: str


def battle(command: list[str], timeout: float) -> tuple[list[Outcome], str | None]:
    """Run a reading process to its end; what became of each mutation, and the crash, if there was one."""
    process = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=timeout, check=False)
    outcomes = []
    unfinished = None
    for line in process.stdout.decode(errors="replace").splitlines():
        number, _, rest = line.partition(" ")
        if not rest:
            unfinished = number
            break
        seconds, memory, said = rest.split(" ", 2)
        outcomes.append(Outcome(int(number), float(seconds), float(memory), said))
    if process.returncode:
        return (
            outcomes,
            f"{process.returncode} at {unfinished}: {process.stderr[-500:].decode(errors='replace')}",
        )
    return outcomes, None


@pytest.mark.timeout(size(240, 3600))
def test_mutated_recordings_harm_nobody(tmp_path: Path, battery: Battery) -> None:
    make_clips(tmp_path)
    outcomes: list[Outcome] = []
    crashes = []
    first = 0
    while first < COUNT:
        command = [
            sys.executable,
            "-m",
            "tests.torture.media.mutations",
            str(tmp_path),
            str(first),
            str(BATCH),
        ]
        batch, crash = battle(command, timeout=220)
        outcomes += batch
        first += BATCH if crash is None else len(batch) + 1
        if crash is not None:
            crashes.append(crash)
    assert crashes == []
    assert [outcome.number for outcome in outcomes] == list(range(COUNT))
    assert [outcome for outcome in outcomes if outcome.said.startswith("Unexpected")] == []
    memory = max(outcome.memory for outcome in outcomes)
    seconds = max(outcome.seconds for outcome in outcomes)
    assert memory < 400
    assert seconds < 10
    # The mutations are neither harmless nor hopeless.
    refused = sum(outcome.said.startswith("VideoError") for outcome in outcomes)
    assert COUNT / 10 < refused < COUNT / 2
    lost = f"{len(crashes)} crashes, {memory:.0f} MiB and {seconds:.2f} s at most"
    battery.passed(ROW, f"mutated recordings, {refused:,} of them refused", f"{COUNT:,} files", lost)


@pytest.mark.timeout(size(240, 3600))
async def test_a_service_bears_mutations_and_bombs(tmp_path: Path, battery: Battery) -> None:
    """Its neighbour's rows in the database are all there, the process is the same, its memory bounded."""
    clips_folder = tmp_path / "clips"
    clips_folder.mkdir()
    make_clips(clips_folder)
    async with running(tmp_path, runner_slots=8) as service:
        marker_clip(service.media / "fine.mp4", frames=600)
        names = []
        for number, suffix, data in mutations(clips_folder, 0, SERVED):
            names.append(f"{number}{suffix}")
            (service.media / names[-1]).write_bytes(data)
        for number, make in enumerate(BOMBS.values()):
            (service.media / f"bomb{number}").mkdir()
            names.append(str(make(service.media / f"bomb{number}").relative_to(service.media)))
        process = psutil.Process(service.process.pid)
        before = process.memory_info().rss / 2**20
        neighbour = await service.create("fine.mp4", {"type": "marker"}, sampling={"mode": "all"})
        ids = [
            await service.create(
                name, {"type": "mock"}, sampling={"mode": "all"}, restart={"policy": "never"}
            )
            for name in names
        ]
        outcomes = Counter(
            [(await service.ends(scenario_id, size(120, 1800)))["outcome"] for scenario_id in ids]
        )
        assert (await service.ends(neighbour, 120))["outcome"] == "completed"
        grown = peak_memory(process.pid) - before
        assert process.is_running()
        assert "Traceback" not in service.log.read_text()
        stored = [item["frame"] for item in await service.predictions(neighbour)]
    assert stored == list(range(600))
    assert outcomes["failed"] >= len(BOMBS) / 2
    assert grown < 600
    lost = f"0 crashes, 0 of 600 frames of a neighbour; {grown:.0f} MiB more at most"
    battery.passed(ROW, "a service given mutated recordings and bombs", f"{len(names)} files", lost)


def test_a_crash_would_be_noticed(battery: Battery) -> None:
    program = "import os; print('7 0.1 90 16 pictures\\n8 ', end='', flush=True); os.abort()"
    outcomes, crash = battle([sys.executable, "-c", program], timeout=20)
    assert [outcome.number for outcome in outcomes] == [7]
    assert crash is not None
    assert crash.startswith("-6 at 8")
    battery.unguarded(ROW, "a decoder that does not crash", "1 process that aborts", "1 crash")


BOMBS: dict[str, Callable[[Path], Path]] = {
    "a canvas of 60 megapixels": lambda folder: bombs.gif(folder / "a.gif", 10_000, 6_000),
    "a canvas of 4 gigapixels": lambda folder: bombs.gif(folder / "a.gif", 65_535, 65_535),
    "a film of 256 megapixels": lambda folder: bombs.jpeg(folder / "a.mkv", 16_000, 16_000),
    "references of 134 megapixels": lambda folder: bombs.h264(folder / "a.h264", 16_384, 8_192),
    "an index of 8 million frames": lambda folder: bombs.mp4(folder / "a.mp4", samples=2**23),
    "an index of a billion frames": lambda folder: bombs.mp4(folder / "a.mp4", samples=2**30),
    "an index packed 1000 to 1": lambda folder: bombs.packed_index(folder / "a.mov", 2**28),
    "ten tracks of 6 million frames": lambda folder: bombs.mp4(
        folder / "a.mp4", samples=6_600_000, tracks=10
    ),
    "100,000 frames shown 60 times": lambda folder: bombs.mp4(
        folder / "a.mp4", samples=100_000, tracks=3, edits=60
    ),
    "sound of 2 billion samples": lambda folder: bombs.mp4(
        folder / "a.mov", samples=2**31 - 1, tracks=3, is_sound=True
    ),
    "fragments of 6 million frames": lambda folder: bombs.fragments(
        folder / "a.mp4", samples=6_600_000, tracks=6
    ),
    "forty videos in one": lambda folder: bombs.mp4(folder / "a.mp4", samples=2**17, tracks=40),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_claims_to_be_huge_takes_little(tmp_path: Path, battery: Battery, bomb: str) -> None:
    path = BOMBS[bomb](tmp_path)
    assert path.stat().st_size < 1_100_000
    with measured() as peak:
        read(path)
    most = peak()
    assert most < 100
    battery.passed(ROW, bomb, "1 file", f"{most:.0f} MiB at most")


def test_pictures_that_are_too_large_are_told(tmp_path: Path) -> None:
    bombs.h264(tmp_path / "a.h264", 16_384, 8_192)
    assert read(tmp_path / "a.h264") == (
        "VideoError: the pictures in a.h264 have 16384x8192 pixels: at most 35,651,584 pixels are"
        " supported, as in 8192x4352"
    )


def test_samples_that_are_too_many_are_told(tmp_path: Path) -> None:
    bombs.mp4(tmp_path / "a.mp4", samples=6_600_000, tracks=10)
    assert read(tmp_path / "a.mp4") == (
        "VideoError: the index of a.mp4 declares 66,000,000 samples in all its tracks: at most 12,000,000 are"
        " supported; cut the recording into shorter ones"
    )


def test_an_avi_that_lists_too_much_is_refused(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 19 tracks of sound has one entry, of which FFmpeg makes 488,282."""
    path = tmp_path / "a.avi"
    path.write_bytes(files.avi_divided_sound(19, pictures=2_100_000))
    with measured() as peak:
        told = read(path)
    refused = peak()
    assert told == (
        "VideoError: the index of a.avi declares 12,061,492 samples in all its tracks: at most 12,000,000 are"
        " supported; cut the recording into shorter ones"
    )
    assert refused < 50
    monkeypatch.setattr(declared_index, "count_entries", lambda *_: AviEntries())
    with measured() as peak:
        read(path)
    unguarded = peak()
    assert unguarded > 150
    what = "an AVI whose entries of sound stand for 9 million"
    battery.passed(ROW, what, "1 file", f"{refused:.0f} MiB at most")
    battery.unguarded(ROW, f"its limit: {what}", "1 file", f"{unguarded:.0f} MiB")


def test_boxes_at_odd_places_count(tmp_path: Path) -> None:
    """FFmpeg reads them wherever they are."""
    path = bombs.mp4(tmp_path / "a.mp4", samples=6_600_000, tracks=2)
    for odd in (b"udta", b"meta", b"junk"):
        data = path.read_bytes().replace(b"minf", odd)
        path.write_bytes(data)
        assert "declares 13,200,000 samples" in read(path)


def test_fragments_on_a_web_server_have_few_tracks(tmp_path: Path) -> None:
    path = bombs.fragments(tmp_path / "a.mp4", samples=1, tracks=4)
    with path.open("rb") as file:
        assert check_index(file, path.stat().st_size, "a.mp4").tracks == 20
        with pytest.raises(VideoError, match="a fragmented mp4 with 4 tracks: at most 3"):
            check_index(file, path.stat().st_size, "a.mp4", is_remote=True)


def test_long_plain_sound_is_no_bomb(tmp_path: Path) -> None:
    """A sample of it is a number, and FFmpeg combines them."""
    path = bombs.mp4(tmp_path / "a.mov", samples=48_000 * 3600 * 8, is_sound=True)
    with path.open("rb") as file:
        check_index(file, path.stat().st_size, "a.mov")


def test_a_recording_as_large_as_may_be_is_read(tmp_path: Path) -> None:
    frames, references = (40, 16) if LONG else (3, 1)
    path = bombs.h264(tmp_path / "a.h264", 8192, 4352, frames=frames, references=references, is_whole=True)
    with measured() as peak:
        assert read(path) == f"{frames} pictures"
    assert peak() < 2_000


@pytest.mark.parametrize(
    ("bomb", "least"),
    [
        ("a canvas of 60 megapixels", 200),
        ("an index of 8 million frames", 120),
        ("an index packed 1000 to 1", 120),
        ("forty videos in one", 90),
        ("100,000 frames shown 60 times", 200),
        pytest.param("ten tracks of 6 million frames", 1000, marks=pytest.mark.long),
    ],
)
def test_without_its_limit_a_bomb_takes_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, battery: Battery, bomb: str, least: int
) -> None:
    for module in (formats, tracks):
        monkeypatch.setattr(module, "LIMITS", {"max_streams": "1000"})
        monkeypatch.setattr(module, "MAX_PIXELS", 2**31 - 1)
    monkeypatch.setattr(tracks, "MAX_PIXELS_OF_ALL", 2**31 - 1)
    monkeypatch.setattr(formats, "check_index", lambda *_: Index(is_mp4=True, tracks=1000))
    formats.limit_allocations()
    formats.set_max_allocation(2**31 - 1)
    try:
        with measured() as peak:
            read(BOMBS[bomb](tmp_path))
        most = peak()
        assert most > least
        battery.unguarded(ROW, f"its limit: {bomb}", "1 file", f"{most:.0f} MiB")
    finally:
        formats.set_max_allocation(formats.MAX_ALLOCATION)


def test_titles_need_not_be_text(tmp_path: Path) -> None:
    make_clips(tmp_path)
    data = (tmp_path / "h264.mp4").read_bytes()
    (tmp_path / "h264.mp4").write_bytes(data.replace(b"isomiso2avc1mp41", b"is\xff\xfeiso2avc1mp41"))
    assert read(tmp_path / "h264.mp4") == "16 pictures"
