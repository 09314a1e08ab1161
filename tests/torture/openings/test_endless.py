"""Small files that keep a core busy: the work for them grows with their size alone, or they are refused.

Each guard is also taken out: then the same file takes many times as long, or is read again and again.
"""

import time
from pathlib import Path

import av
import pytest
from av.video.codeccontext import VideoCodecContext

from app.video import declared_index, demuxer, lazy_decoder, losses
from app.video.coded import CodedPicture
from app.video.lazy_decoder import LazyDecoder
from app.video.losses import LossFinder
from tests.torture.battery import Battery
from tests.torture.media import bombs
from tests.torture.media.mutations import read

ROW = 8


def timed(path: Path) -> tuple[float, str]:
    """Read a file. Returns the seconds of CPU time that it took, and the result."""
    begun = time.process_time()
    told = read(path)
    return time.process_time() - begun, told


@pytest.mark.parametrize("name", [b"stts", b"stsc", b"elst"])
def test_names_of_boxes_take_time_by_their_size(tmp_path: Path, battery: Battery, name: bytes) -> None:
    path = bombs.names_of_boxes(tmp_path / "a.mp4", name, 1_100_000)
    seconds, told = timed(path)
    assert "the header of a.mp4 is larger than 64 MiB" in told
    assert seconds < 20
    what = f"an mp4 of 4 MB that consists of the letters {name.decode()}"
    battery.passed(ROW, what, "1 file", f"refused after {seconds:.1f} s of CPU time")


def test_without_its_bound_it_takes_the_square(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared_index, "_MAX_HEADER", 2**40)
    monkeypatch.setattr(declared_index, "_NEEDED", {b"stts": 2**40})
    none, _ = timed(bombs.names_of_boxes(tmp_path / "a.mp4", b"stts", 1))
    small, _ = timed(bombs.names_of_boxes(tmp_path / "a.mp4", b"stts", 25_000))
    large, _ = timed(bombs.names_of_boxes(tmp_path / "a.mp4", b"stts", 150_000))
    times = (large - none) / max(small - none, 0.001)  # 36 if it takes the square
    assert times > 10
    seen = f"{large:.1f} s, and {times:.0f} times as long as a sixth of it"
    battery.unguarded(ROW, "a bound of that: letters of 600 KB", "1 file", seen)


def test_data_that_are_named_again_and_again_are_refused(
    tmp_path: Path, battery: Battery, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bombs.mp4(tmp_path / "a.mp4", samples=400, tracks=2, duration=800, sample=2**20)
    told = read(path)
    assert told.startswith("VideoError: the index of a.mp4 names the same data again and again")
    what = "an mp4 of 1 MB whose index names all of it 800 times"
    battery.passed(ROW, what, "1 file", "refused after 64 MiB")
    monkeypatch.setattr(demuxer, "_MAX_READ_AGAIN", 10_000)
    told = read(path)
    assert "none of the 400 sampled frames could be decoded" in told
    battery.unguarded(ROW, "a bound of what is read", "1 file", "800 MiB read of 1 MB")


def _waiting(pictures: int, *, is_decoded: bool) -> int:
    """Return how many of so many empty pictures, all of them wanted, wait for their frames at last."""
    context = av.CodecContext.create("mpeg4", "r")
    assert isinstance(context, VideoCodecContext)
    decoder = LazyDecoder(context)
    decoder.start(from_beginning=True, keys_only=False)
    ready = 0
    for number in range(pictures):
        packet = av.Packet(b"\0\0\1\xb0\0\0" if number == 0 or is_decoded else b"")
        picture = CodedPicture(
            number, number, number, is_key=number == 0, starts_closed_gop=False, is_reference=True,
            is_shown=True, is_damaged=False, is_missing=not packet.size,
        )  # fmt: skip
        if packet.size:
            decoder.add(picture, packet)  # type: ignore[arg-type]
        decoder.set_wanted(picture, is_wanted=True)
        ready += len(list(decoder.take_ready()))
    return pictures - ready


@pytest.mark.parametrize("is_decoded", [True, False])
def test_pictures_that_never_come_are_not_waited_for(
    battery: Battery, monkeypatch: pytest.MonkeyPatch, is_decoded: bool
) -> None:
    """The decoder takes each and gives nothing; or only the first, and the rest is missing."""
    held = _waiting(4_000, is_decoded=is_decoded)
    assert held <= 1_000
    monkeypatch.setattr(lazy_decoder, "_MAX_PENDING", 10**9)
    assert _waiting(4_000, is_decoded=is_decoded) == 4_000
    what = "4,000 pictures that a decoder swallows" if is_decoded else "3,999 missing pictures behind one"
    battery.passed(ROW, what, "1 stream", f"{held:,} held in memory")
    battery.unguarded(ROW, f"a bound: {what}", "1 stream", "4,000 held in memory")


def _filled(pictures: int, pause: int) -> tuple[int, bool]:
    """Return how many pictures are filled in before those of a stream, all of which are flagged as damaged.

    After ten regular ones, each is `pause` frames behind the one before. The second value: whether some were
    not counted.
    """
    finder = LossFinder(1.0, is_alone=True, has_tables=False)
    pts = filled = 0
    for number in range(pictures):
        pts += 1 if number < 10 else pause
        packet = av.Packet(bytes(188))
        packet.is_corrupt = number >= 10
        picture = CodedPicture(
            number, pts, pts, is_key=number == 0, starts_closed_gop=False, is_reference=True, is_shown=True,
            is_damaged=False,
        )  # fmt: skip
        finder.note(picture, packet)  # type: ignore[arg-type]
        filled += len(list(finder.fill(picture)))
    return filled, finder.has_uncounted


def test_flags_of_damage_add_few_pictures(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _filled(50, 5) == (40 * 4, False)
    assert _filled(15, 200) == (5 * 199, False)
    filled, is_told = _filled(2_000, 1_000)
    assert is_told
    assert filled <= 20_000
    tried = "a stream of 380 KB with a pause of 1,000 frames before each picture, flagged as damage"
    battery.passed(ROW, tried, "2,000 pictures", f"{filled:,} stored as missing, and a warning")
    monkeypatch.setattr(losses, "_MAX_SHARE_UNSEEN", 10_000)
    filled, _ = _filled(2_000, 1_000)
    assert filled == 1_990 * 999
    battery.unguarded(ROW, "a bound of them", "1 stream of 380 KB", f"{filled:,} stored as missing")
