"""Recordings of every kind: each frame under its ordinal, wherever decoding began."""

import ctypes
import gc
import sys
from pathlib import Path
from threading import Event

import av
import pytest

from app.domain.networks import Networks
from app.domain.sampling import CandidateFrames, EveryFrame, FixedRate, KeyframesOnly, Sampling
from app.domain.source import parse_source
from app.video import lazy_decoder
from app.video import recording as video_recording
from app.video.coded import VideoPacket
from app.video.container import open_container
from app.video.lazy_decoder import LazyDecoder
from app.video.reading import SampledFrame, Watermark
from tests.support import clips
from tests.video.recordings import SIZE, Undisturbed, marker, opened, read

FRAMES = 96
FIRST = 4  # pictures that an H.264 decoder takes before it gives the first one out
KINDS: dict[str, clips.Encoding] = {
    "h264.mp4": {"gop": 24},
    "h264_open.mp4": {"gop": 24, "open_gop": True},
    "h264_pyramid.mkv": {
        "gop": 24,
        "options": {"x264-params": "keyint=24:scenecut=0:bframes=3:b-pyramid=normal"},
    },
    "h264_refresh.mp4": {"gop": 24, "bframes": 0, "options": {"intra-refresh": "1"}},
    "h264_one_gop.mp4": {"gop": 1000},
    "h264.ts": {"gop": 24},
    "h264.avi": {"gop": 24},
    "h264.h264": {"gop": 24},
    "h264.asf": {"gop": 24},
    "h264.flv": {"gop": 24},
    "h264_late.ts": {"gop": 24, "first_time": 5000.0},
    "hevc_open.mp4": {"codec": "hevc", "gop": 24, "open_gop": True},
    "hevc.ts": {"codec": "hevc", "gop": 24, "open_gop": True},
    "hevc.hevc": {"codec": "hevc", "gop": 24},
    "hevc_open.hevc": {"codec": "hevc", "gop": 24, "open_gop": True, "bframes": 3},
    "mpeg2.ts": {"codec": "mpeg2", "gop": 12},
    "mpeg2_open.mpg": {"codec": "mpeg2", "gop": 12, "open_gop": True},
    "mpeg4.avi": {"codec": "mpeg4", "gop": 24, "open_gop": True},
    "mjpeg.avi": {"codec": "mjpeg"},
    "vp8.webm": {"codec": "vp8", "gop": 24},
    "vp9.webm": {"codec": "vp9", "gop": 24},
    "ffv1.mkv": {"codec": "ffv1", "gop": 24},
}
TEST_PATTERN = "test:testsrc2?size=256x192&duration=3.2"


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name, encoding in KINDS.items():
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, **encoding)
    return folder


@pytest.fixture(scope="module")
def undisturbed(media: Path) -> "Undisturbed":
    return Undisturbed(media)


def allocated() -> int:
    """Bytes that the C library has given out and not got back."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = type("Mallinfo", (ctypes.Structure,), {"_fields_": [("found", ctypes.c_size_t * 10)]})
    gc.collect()
    found = ask().found
    return int(found[4] + found[7])  # hblkhd, what was mapped alone, and uordblks, the rest


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_comes_under_its_ordinal(media: Path, name: str) -> None:
    with opened(media, name) as video:
        entries = list(video.frames(EveryFrame(), "all"))
    frames = [entry for entry in entries if isinstance(entry, SampledFrame)]
    assert [entry.frame for entry in frames] == list(range(FRAMES))
    assert [marker(entry.picture) for entry in frames] == list(range(FRAMES))
    assert [entry.time for entry in frames] == pytest.approx([n / 30 for n in range(FRAMES)], abs=0.0011)
    assert entries[-1] == Watermark(FRAMES, frames[-1].time)
    assert (video.media.width, video.media.height, video.media.live) == (*SIZE, False)


@pytest.mark.parametrize("name", [*KINDS, TEST_PATTERN])
def test_a_resumed_read_gives_the_same_bytes(media: Path, undisturbed: Undisturbed, name: str) -> None:
    for start in (1, 7, 24, 25, 47, 70, 80, FRAMES - 1):
        assert read(media, name, start=start) == undisturbed.of(name)[start:], start


@pytest.mark.parametrize("candidates", ["all", "reference", "key"])
@pytest.mark.parametrize("name", [*KINDS, TEST_PATTERN])
def test_what_is_sampled_is_what_an_undisturbed_read_of_everything_shows(
    media: Path, undisturbed: Undisturbed, name: str, candidates: CandidateFrames
) -> None:
    everything = undisturbed.of(name)
    for sampling in (FixedRate(1), FixedRate(11)):
        sampled = read(media, name, sampling, candidates)
        assert sampled
        assert sampled == [everything[frame.number] for frame in sampled]
        for start in (1, 58):
            resumed = read(media, name, sampling, candidates, start)
            assert resumed == [frame for frame in sampled if frame.number >= start]


def test_keyframes_are_those_that_were_stored_whole(media: Path) -> None:
    assert [frame.number for frame in read(media, "h264.mp4", KeyframesOnly(), "key")] == [0, 24, 48, 72]
    assert len(read(media, "mjpeg.avi", KeyframesOnly(), "key")) == FRAMES
    assert len(read(media, TEST_PATTERN, KeyframesOnly(), "key")) == FRAMES


def test_reading_what_is_there_chooses_what_to_decode(media: Path) -> None:
    expected: list[tuple[str, Sampling, CandidateFrames]] = [
        ("h264.mp4", EveryFrame(), "all"),
        ("h264.mp4", KeyframesOnly(), "key"),
        ("h264.mp4", FixedRate(2), "reference"),
        ("h264.mp4", FixedRate(10), "all"),
        ("h264.mp4", FixedRate(0.3), "key"),
        ("h264_open.mp4", FixedRate(0.3), "reference"),
        ("h264.ts", FixedRate(2), "reference"),
        ("h264_refresh.mp4", FixedRate(0.3), "all"),
        ("hevc_open.mp4", FixedRate(2), "all"),
        ("hevc_open.mp4", FixedRate(0.3), "key"),
        ("mjpeg.avi", FixedRate(2), "all"),
        (TEST_PATTERN, FixedRate(2), "all"),
    ]
    for name, sampling, candidates in expected:
        with opened(media, name) as video:
            assert video.choose_candidates(sampling) == candidates, (name, sampling)
            assert [entry for entry in video.frames(sampling, candidates) if isinstance(entry, SampledFrame)]


@pytest.mark.parametrize(
    ("sampling", "candidates", "start", "most"),
    [
        (EveryFrame(), "all", 0, FRAMES),
        (EveryFrame(), "all", 50, FIRST + 48),  # its group of 24 pictures, and what follows
        (FixedRate(2), "all", 0, 80),
        (FixedRate(2), "reference", 0, 48),
        (FixedRate(0.5), "all", 0, 16),
        (FixedRate(2), "key", 0, FIRST + 3),
        (KeyframesOnly(), "key", 0, FIRST + 3),
        (KeyframesOnly(), "key", 50, FIRST + 1),
    ],
)
def test_no_more_is_decoded_than_the_samples_need(
    media: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampling: Sampling,
    candidates: CandidateFrames,
    start: int,
    most: int,
) -> None:
    decoded: list[object] = []
    decode = LazyDecoder._decode

    def counted(self: LazyDecoder, packet: "VideoPacket | None") -> bool:
        decoded.extend([packet] if packet is not None else [])
        return decode(self, packet)

    monkeypatch.setattr(LazyDecoder, "_decode", counted)
    read(media, "h264.mp4", sampling, candidates, start)
    assert 0 < len(decoded) <= most


@pytest.mark.parametrize(
    ("name", "decodes"),
    [("h264.mp4", False), ("h264_open.mp4", False), ("fragments.mp4", True), ("h264.ts", True)],
)
def test_opening_decodes_a_picture_only_if_the_index_does_not_tell_its_size(
    media: Path, name: str, decodes: bool
) -> None:
    if name == "fragments.mp4":
        fragments = {"movflags": "frag_keyframe+empty_moov"}
        clips.marker_clip(media / name, frames=FRAMES, size=SIZE, muxer_options=fragments)
    source, stop = parse_source(name), Event()
    with (
        av.open(media / name) as usual,
        open_container(source, media, Networks(""), stop=stop, open_timeout=5, read_timeout=5) as opened,
    ):
        assert (opened.stream.codec_context.pix_fmt is not None) == decodes
        for told in ("average_rate", "time_base", "start_time", "duration", "frames"):
            assert getattr(opened.stream, told) == getattr(usual.streams.video[0], told), told
        assert opened.stream.codec_context.has_b_frames == usual.streams.video[0].codec_context.has_b_frames


def test_what_cannot_be_kept_back_is_decoded_with_the_same_result(
    media: Path, undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lazy_decoder, "_MAX_HELD_BYTES", 3000)
    for name in ("h264_one_gop.mp4", "hevc_open.mp4", "mpeg2_open.mpg"):
        sampled = read(media, name, FixedRate(1), start=40)
        assert sampled == [undisturbed.of(name)[frame.number] for frame in sampled]
        assert [frame.number for frame in sampled] == [60, 90]


def test_watermarks_come_even_if_nothing_is_sampled(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_recording, "_WATERMARK_EVERY", 0.0)
    for start in (0, 50):
        with opened(media, "h264.mp4") as video:
            entries = list(video.frames(FixedRate(0.001), "all", start))
        ends = [entry.end for entry in entries if isinstance(entry, Watermark)]
        assert ends == sorted(ends)
        assert ends[0] == start
        assert ends[-1] == FRAMES
        assert len(ends) > FRAMES / 2
        assert sum(isinstance(entry, SampledFrame) for entry in entries) == (1 if start == 0 else 0)


def test_few_large_pictures_are_held_before_it_is_chosen_what_to_decode(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(media, "mjpeg.avi", FixedRate(5))
    size = (media / "mjpeg.avi").stat().st_size // FRAMES
    monkeypatch.setattr(video_recording, "_PROBED_BYTES", 5 * size)
    with opened(media, "mjpeg.avi") as video:
        video.choose_candidates(FixedRate(5))
        assert len(video._probed) < 10
    assert read(media, "mjpeg.avi", FixedRate(5)) == expected


def test_a_recording_of_one_frame_is_read(tmp_path: Path) -> None:
    clips.marker_clip(tmp_path / "one.mp4", frames=1, size=SIZE)
    assert [frame.number for frame in read(tmp_path, "one.mp4")] == [0]


def test_beginning_past_the_end_gives_nothing(media: Path) -> None:
    assert read(media, "h264.mp4", start=FRAMES + 5) == []


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_a_read_that_ends_early_gives_back_what_it_allocated(media: Path) -> None:
    def begin_each() -> None:
        for _ in range(100):
            with opened(media, "h264.mp4") as video:
                next(iter(video.frames(EveryFrame(), "all", 0)))

    def grown() -> float:
        before = allocated()
        begin_each()
        return (allocated() - before) / 100

    grown()
    assert min(grown() for _ in range(3)) < 50
