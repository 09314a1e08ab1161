"""A recording that was cut off completes with a warning, if anything in it tells that its end is missing."""

from pathlib import Path

import pytest

from app.domain.reason import ScenarioWarning
from app.domain.sampling import EveryFrame
from app.video.errors import VideoError
from app.video.reading import SampledFrame
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.faults import FRAMES, SIZE, opened

FRAGMENTS: dict[str, clips.Encoding] = {
    "empty.mp4": {"gop": 24, "muxer_options": {"movflags": "frag_keyframe+empty_moov"}},
    "first.mp4": {"gop": 24, "muxer_options": {"movflags": "frag_keyframe"}},
}
KINDS: dict[str, clips.Encoding] = {
    "fast.mp4": {"muxer_options": {"movflags": "faststart"}},
    "fast.mov": {"muxer_options": {"movflags": "faststart"}},
    **FRAGMENTS,
    "a.mkv": {},
    "a.webm": {"codec": "vp8"},
    "a.avi": {},
    "a.asf": {"codec": "mpeg4"},
    "a.flv": {},
    "a.ts": {},
    "a.mpg": {"codec": "mpeg2"},
    "a.ogv": {"codec": "vp8"},
}


def made(media: Path, name: str) -> Path:
    if not (media / name).exists():
        clips.marker_clip(media / name, frames=FRAMES, size=SIZE, **({"gop": 24} | KINDS[name]))
    return media / name


def frames_and_warnings(media: Path, source: str) -> tuple[list[SampledFrame], list[ScenarioWarning]]:
    with opened(media, source) as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
        assert [frame.frame for frame in frames] == list(range(len(frames)))
        return frames, video.warnings


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("over_http", [False, True], ids=["file", "http"])
@pytest.mark.parametrize("name", KINDS)
def test_a_recording_that_was_cut_off_completes_and_says_so(
    media: Path, name: str, share: float, *, over_http: bool
) -> None:
    clips.truncate(made(media, name), share, media / f"cut_{name}")
    with web_server(media) as server:
        source = f"{server.url}/cut_{name}" if over_http else f"cut_{name}"
        frames, warnings = frames_and_warnings(media, source)
    assert FRAMES * (share - 0.3) < len(frames) <= FRAMES
    (warning,) = [warning for warning in warnings if warning.code == "ends_early"]
    whole = [frame.frame for frame in frames if frame.error is None]
    # The last picture may have been cut, and pictures that are shown before it may follow it.
    assert len(whole) >= len(frames) - 3
    assert warning.frame is not None
    assert whole[-1] < warning.frame <= len(frames)
    assert f"frame {warning.frame - 1} " in warning.text


@pytest.mark.parametrize("over_http", [False, True], ids=["file", "http"])
@pytest.mark.parametrize("name", KINDS)
def test_a_whole_recording_says_nothing(media: Path, name: str, *, over_http: bool) -> None:
    made(media, name)
    with web_server(media) as server:
        frames, warnings = frames_and_warnings(media, f"{server.url}/{name}" if over_http else name)
    assert len(frames) == FRAMES
    assert warnings == []


def test_the_end_is_named_by_frame_and_time(media: Path) -> None:
    clips.truncate(made(media, "fast.mp4"), 0.4, media / "cut.mp4")
    frames, warnings = frames_and_warnings(media, "cut.mp4")
    last = frames[-1]
    text = (
        f"The end of the recording is missing: frame {last.frame} of {FRAMES} ({last.time:.1f} s) was the"
        " last that could be read."
    )
    assert warnings == [ScenarioWarning("ends_early", text, last.frame + 1)]


def test_it_is_said_if_nothing_tells_how_much_is_missing(media: Path) -> None:
    clips.truncate(made(media, "a.ts"), 0.4, media / "cut.ts")
    _, (warning,) = frames_and_warnings(media, "cut.ts")
    assert warning.text.endswith(" Nothing tells how much is missing.")


@pytest.mark.parametrize("over_http", [False, True], ids=["file", "http"])
def test_an_mp4_whose_index_was_cut_off_is_refused_as_incomplete(media: Path, *, over_http: bool) -> None:
    clips.truncate(clips.marker_clip(media / "last.mp4", frames=30, size=SIZE), 0.6, media / "cut.mp4")
    with web_server(media) as server:
        source = f"{server.url}/cut.mp4" if over_http else "cut.mp4"
        with pytest.raises(VideoError, match=r"cut\.mp4 is incomplete: its index \(moov\)") as refused:
            frames_and_warnings(media, source)
    assert not refused.value.retryable


def test_a_fragment_without_its_data_is_noticed(media: Path) -> None:
    data = made(media, "empty.mp4").read_bytes()
    (media / "headless.mp4").write_bytes(data[: data.rindex(b"mdat") - 4])
    frames, warnings = frames_and_warnings(media, "headless.mp4")
    assert 0 < len(frames) < FRAMES
    assert [warning.code for warning in warnings] == ["ends_early"]


def test_a_resumed_read_says_the_same(media: Path) -> None:
    clips.truncate(made(media, "a.mkv"), 0.5, media / "cut.mkv")
    frames, warnings = frames_and_warnings(media, "cut.mkv")
    with opened(media, "cut.mkv") as video:
        entries = list(video.frames(EveryFrame(), "all", len(frames) - 5, has_pictures=True))
        assert len([entry for entry in entries if isinstance(entry, SampledFrame)]) == 5
        assert video.warnings == warnings


@pytest.mark.parametrize("name", ["a.h264", "a.ts"])
def test_a_cut_that_leaves_no_trace_is_not_told(media: Path, name: str) -> None:
    """Such as one between two packets of MPEG-TS."""
    clips.marker_clip(media / name, frames=FRAMES, size=SIZE, gop=24)
    data = (media / name).read_bytes()
    (media / f"cut_{name}").write_bytes(data[: len(data) // 2 // 188 * 188])
    frames, warnings = frames_and_warnings(media, f"cut_{name}")
    assert FRAMES * 0.2 < len(frames) < FRAMES * 0.8
    assert warnings == []
