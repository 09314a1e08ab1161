"""Many hostile recordings at once: those that need much memory have turns, in threads and in processes.

To keep it small, the limits are lowered: each file takes about 70 MiB. The guard is also taken out.
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Condition, Event, Thread

import pytest

from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video import formats, memory, tracks
from app.video.decoder.parent import ProcessReader
from app.video.errors import VideoError
from app.video.memory import ALLOWANCE, SHARED, VIDEO_MEMORY, VideoMemory
from app.video.open import open_video
from app.video.reading import ReadRequest, SampledFrame, StartingPoint
from app.video.recording import Recording
from tests.support.web_server import web_server
from tests.torture.battery import Battery
from tests.torture.media import bombs
from tests.torture.media.mutations import measured
from tests.torture.media.verifier import Sink
from tests.torture.openings import files

ROW = 8
TEN = 10


class _Openings:
    """Opens a source ten times at once, and counts how many are open."""

    def __init__(self, source: str, folder: Path) -> None:
        self.failed: list[str] = []
        self.most = 0
        self._source = parse_source(source)
        self._folder = folder
        self._count = 0
        self._changed = Condition()

    def run(self, together: int) -> None:
        """Keep each open until `together` of them were, and then long enough for one too many."""
        threads = [Thread(target=self._hold, args=(together,)) for _ in range(TEN)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _hold(self, together: int) -> None:
        stop = Event()
        try:
            with open_video(self._source, self._folder, Networks("loopback"), stop=stop):
                with self._changed:
                    self._count += 1
                    self.most = max(self.most, self._count)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self.most >= together, timeout=60)
                stop.wait(0.3)
                with self._changed:
                    self._count -= 1
        except VideoError as error:
            self.failed.append(str(error))


def matroska(folder: Path) -> str:
    (folder / "a.mkv").write_bytes(files.matroska_encodings(2**21 // 3))
    return "./a.mkv"


def avi(folder: Path) -> str:
    (folder / "a.avi").write_bytes(files.avi_divided_sound(6))
    return "./a.avi"


def avi_over_http(folder: Path) -> str:
    return avi(folder).removeprefix("./")


def fragments(folder: Path) -> str:
    return bombs.fragments(folder / "a.mp4", samples=600_000, tracks=3).name


def playlist(folder: Path) -> str:
    """One of a segment of fragmented mp4."""
    data = bombs.fragments(folder / "all.mp4", samples=600_000, tracks=3).read_bytes()
    place = data.index(b"moof") - 4
    (folder / "begin.mp4").write_bytes(data[:place])
    (folder / "1.m4s").write_bytes(data[place:])
    lines = (
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:1",
        '#EXT-X-MAP:URI="begin.mp4"',
        "#EXTINF:1,",
    )
    (folder / "a.m3u8").write_text("\n".join([*lines, "1.m4s", "#EXT-X-ENDLIST", ""]))
    return "a.m3u8"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's way to measure memory")
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("what", "build"),
    [
        ("ten Matroska files of 2 MB at once", matroska),
        ("ten AVI of 1 KB at once", avi),
        ("ten AVI of 1 KB over HTTP at once", avi_over_http),
        ("ten fragmented mp4 of 1 MB over HTTP at once", fragments),
        ("ten playlists of a fragmented mp4 of 1 MB at once", playlist),
    ],
)
def test_ten_hostile_recordings_have_turns(
    tmp_path: Path,
    battery: Battery,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    build: Callable[[Path], str],
) -> None:
    """How many are open is exact. The memory is not, because the allocator keeps some of each thread's."""
    source = build(tmp_path)
    monkeypatch.setattr(memory, "ALLOWANCE", 2**20)
    monkeypatch.setattr(memory, "_PATIENCE", 120.0)
    openings = []
    peaks = []
    for total, together in ((160 * 2**20, 2), (2**40, TEN)):
        monkeypatch.setattr(VIDEO_MEMORY, "_total", total)
        with web_server(tmp_path) as server, measured() as peak:
            openings.append(_Openings(source if source[:1] == "." else f"{server.url}/{source}", tmp_path))
            openings[-1].run(together)
        peaks.append(peak())
    assert [each.failed for each in openings] == [[], []]
    assert [each.most for each in openings] == [2, TEN]
    most, unbounded = peaks
    assert most < 0.8 * unbounded
    battery.passed(ROW, f"{what}, with 160 MiB for all", "10 files", f"2 open at once, {most:.0f} MiB")
    battery.unguarded(ROW, "a bound for all", "10 files", f"{TEN} open at once, {unbounded:.0f} MiB")


def test_segments_whose_lists_are_not_counted_are_refused(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1.ts").write_bytes(files.matroska_tags(10))
    (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n1.ts\n#EXT-X-ENDLIST\n")
    monkeypatch.setitem(formats._HLS_OPTIONS, "extension_picky", "0")  # FFmpeg's own guard
    opened = []
    for formats_of_segments in (formats._HLS_OPTIONS["format_whitelist"], f"{formats._FORMATS},hls"):
        monkeypatch.setitem(formats._HLS_OPTIONS, "format_whitelist", formats_of_segments)
        with web_server(tmp_path) as server, suppress(VideoError):
            source = parse_source(f"{server.url}/a.m3u8")
            with open_video(source, tmp_path, Networks("loopback"), stop=Event()):
                opened.append(formats_of_segments)
    assert opened == [f"{formats._FORMATS},hls"]
    battery.passed(ROW, "a Matroska file as the segment of a playlist", "1 playlist", "refused")
    battery.unguarded(ROW, "the formats of segments", "1 playlist", "opened")


def test_who_waits_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_PATIENCE", 0.1)
    shared, stop = VideoMemory(), Event()
    with shared.reserved(ALLOWANCE + SHARED, stop, "one"), shared.reserved(ALLOWANCE, stop, "small"):
        with (
            pytest.raises(VideoError, match="other large videos have that memory") as told,
            shared.reserved(ALLOWANCE + 2**20, stop, "two"),
        ):
            pass
        assert told.value.retryable
    with shared.reserved(ALLOWANCE + 2 * SHARED, stop, "alone"):  # nobody else needs it
        pass


@pytest.fixture
def huge(tmp_path: Path) -> ReadRequest:
    bombs.h264(tmp_path / "a.h264", 4096, 3136, frames=1, references=1, is_whole=True)
    start = StartingPoint(candidates="all")
    return ReadRequest(parse_source("./a.h264"), str(tmp_path), "", EveryFrame(), start=start)


@pytest.mark.timeout(120)
def test_processes_share_the_memory_too(
    huge: ReadRequest, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_PATIENCE", 0.5)
    results = []
    for others in (SHARED, 0):
        with VIDEO_MEMORY.reserved(ALLOWANCE + others, Event(), "others"):
            sink = Sink()
            ProcessReader(huge).start(sink)
            assert sink.is_over.wait(60)
        results.append((len(sink.rows), sink.status.fault))
    assert results[0][0] == 0
    assert results[0][1] is not None
    assert "a.h264 needs 490 MiB" in results[0][1].message
    assert results[0][1].is_retryable
    assert results[1] == (1, None)
    assert VIDEO_MEMORY._taken == 0
    battery.passed(ROW, "a film of 4096x3136 in a process, while others have the memory", "1 file", "refused")
    battery.unguarded(ROW, "others", "1 file", "read")


def test_pictures_that_become_huge_in_mid_stream_are_not_decoded(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was reserved for them, because the stream began with small ones."""
    small = bombs.h264(tmp_path / "small.h264", 64, 48, frames=400, references=1, is_whole=True)
    large = bombs.h264(tmp_path / "large.h264", 640, 480, frames=1, references=1, is_whole=True)
    (tmp_path / "a.h264").write_bytes(small.read_bytes() + large.read_bytes())
    widths = []
    for most in (64 * 48, 2**30):
        monkeypatch.setattr(tracks, "MAX_PIXELS_OF_ALL", most)
        with open_video(parse_source("./a.h264"), tmp_path, Networks(""), stop=Event()) as video:
            assert isinstance(video, Recording)
            entries = list(video.frames(EveryFrame(), "all"))
        pictures = [entry.picture for entry in entries if isinstance(entry, SampledFrame)]
        widths.append(sorted({picture.bgr().shape[1] for picture in pictures if picture is not None}))
    assert widths == [[64], [64, 640]]
    what = "pictures of 640x480 behind small ones, with a limit of 64x48"
    battery.passed(ROW, what, "1 file", "the large one is not decoded")
    battery.unguarded(ROW, "that limit", "1 file", "the large one is decoded")
