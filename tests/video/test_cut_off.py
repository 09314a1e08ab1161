"""A recording that was cut off completes with a warning, if anything in it tells that its end is missing."""

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest

from app.domain.reason import ScenarioWarning
from app.domain.sampling import EveryFrame
from app.video.cut_off import is_cut_off
from app.video.errors import VideoError
from app.video.nut import _MAIN, NutFrames
from app.video.reading import SampledFrame
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.faults import FRAMES, SIZE, opened
from tests.video.recordings import marker

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
    "a.nut": {},
    "plain.nut": {"muxer_options": {"write_index": "0"}},
    "a.ivf": {"codec": "vp8"},
    "fine.ivf": {"codec": "vp8", "first_time": 5.0},  # ticks shorter than a frame
    "a.mxf": {"codec": "mpeg2"},
    "a.gif": {"codec": "gif"},
}


def made(media: Path, name: str) -> Path:
    if not (media / name).exists():
        clips.marker_clip(media / name, frames=FRAMES, size=SIZE, **({"gop": 24} | KINDS.get(name, {})))
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


def test_a_nut_without_index_is_cut_off_if_its_last_frame_is(tmp_path: Path) -> None:
    path = clips.marker_clip(tmp_path / "a.nut", frames=FRAMES, size=SIZE, muxer_options={"write_index": "0"})
    data = path.read_bytes()
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.pos is not None]
    for end in (len(data) - 1, len(data) // 2, *(place + 1 for place in places[-20:])):
        assert is_cut_off(BytesIO(data[:end]), end, "nut")
    assert not is_cut_off(BytesIO(data), len(data), "nut")


def test_the_end_of_a_nut_is_found_behind_frames_of_any_size(tmp_path: Path) -> None:
    """Frames without compression: the last syncpoint is far from the end."""
    with av.open(str(tmp_path / "raw.nut"), "w", options={"write_index": "0"}) as target:
        stream = target.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "bgr24"
        for _ in range(3):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((480, 640, 3), np.uint8), "bgr24")))
    data = (tmp_path / "raw.nut").read_bytes()
    assert [is_cut_off(BytesIO(data[:end]), end, "nut") for end in (len(data), len(data) - 1)] == [
        False,
        True,
    ]


def test_the_header_of_a_nut_may_end_before_the_headers_that_frames_share(tmp_path: Path) -> None:
    """As FFmpeg of 2008 wrote it. What follows is a checksum."""
    data = clips.marker_clip(tmp_path / "a.nut", frames=1, size=SIZE).read_bytes()
    length = data.index(_MAIN) + len(_MAIN)
    assert data[length] < 0x80  # a number of one byte
    short = data[:length] + b"\x04" + data[length + 1 :]
    assert len(NutFrames(data)._headers) > len(NutFrames(short)._headers) == 1


@pytest.mark.parametrize("name", ["a.h264", "a.ts"])
def test_a_cut_that_leaves_no_trace_is_not_told(media: Path, name: str) -> None:
    """Such as one between two packets of MPEG-TS."""
    clips.marker_clip(media / name, frames=FRAMES, size=SIZE, gop=24)
    data = (media / name).read_bytes()
    (media / f"cut_{name}").write_bytes(data[: len(data) // 2 // 188 * 188])
    frames, warnings = frames_and_warnings(media, f"cut_{name}")
    assert FRAMES * 0.2 < len(frames) < FRAMES * 0.8
    assert warnings == []


def with_ivf_length(data: bytes, number: int) -> bytes:
    return data[:24] + number.to_bytes(4, "little") + data[28:]


def first_ivf_pictures(data: bytes, count: int) -> bytes:
    """The file without the pictures after the first ones, cut between two of them."""
    place = 32
    for _ in range(count):
        place += 12 + int.from_bytes(data[place : place + 4], "little")
    return data[:place]


@pytest.mark.parametrize(
    ("name", "number", "declared"),
    [
        ("a.ivf", FRAMES, (FRAMES, FRAMES / 30)),
        ("fine.ivf", FRAMES, (FRAMES, FRAMES / 30)),
        ("fine.ivf", FRAMES * 1000, (None, None)),  # a duration, as FFmpeg 5 writes it
        ("a.ivf", 0xFFFFFFFF, (None, None)),  # written in one go
    ],
)
def test_an_ivf_tells_its_length_in_pictures_or_in_ticks(
    media: Path, name: str, number: int, declared: tuple[int | None, float | None]
) -> None:
    data = with_ivf_length(made(media, name).read_bytes(), number)
    for count, warned in ((FRAMES, 0), (FRAMES // 2, 1)):
        (media / "some.ivf").write_bytes(first_ivf_pictures(data, count))
        with opened(media, "some.ivf") as video:
            assert (video.media.frames, video.media.duration_seconds) == declared
        frames, warnings = frames_and_warnings(media, "some.ivf")
        assert len(frames) == count
        assert len(warnings) == (0 if number == 0xFFFFFFFF else warned)


def test_an_ivf_without_its_last_picture_is_noticed(media: Path) -> None:
    data = made(media, "a.ivf").read_bytes()
    (media / "some.ivf").write_bytes(first_ivf_pictures(data, FRAMES - 1))
    _, (warning,) = frames_and_warnings(media, "some.ivf")
    assert warning.frame == FRAMES - 1


class Pipe:
    """What is written in one go: nothing can be corrected at the beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, data: bytes) -> int:
        with self._path.open("ab") as file:
            return file.write(data)


def test_an_mxf_that_was_written_in_one_go_is_whole_if_it_has_its_last_part(media: Path) -> None:
    with av.open(str(made(media, "a.mxf"))) as source, av.open(Pipe(media / "go.mxf"), "w", "mxf") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                copy.mux(packet)
    data = (media / "go.mxf").read_bytes()
    footer = data.rindex(bytes.fromhex("060e2b34020501010d0102010104"))
    for end, codes in ((len(data), []), (len(data) - 1, ["ends_early"]), (footer, ["ends_early"])):
        (media / "some.mxf").write_bytes(data[:end])
        frames, warnings = frames_and_warnings(media, "some.mxf")
        assert len(frames) == FRAMES
        assert [warning.code for warning in warnings] == codes


@pytest.mark.parametrize("over_http", [False, True], ids=["file", "http"])
@pytest.mark.parametrize("name", ["fast.mp4", "late.mp4", "empty.mp4", "a.flv", "a.asf", "a.ivf"])
def test_another_recording_in_the_same_file_is_told(media: Path, name: str, *, over_http: bool) -> None:
    data = made(media, name).read_bytes()
    (media / f"joined_{name}").write_bytes(data + data)
    with web_server(media) as server:
        source = f"{server.url}/joined_{name}" if over_http else f"joined_{name}"
        frames, warnings = frames_and_warnings(media, source)
    assert len(frames) >= FRAMES
    if over_http and name == "empty.mp4":  # its fragments would take a request each
        return
    assert [warning.code for warning in warnings] == ["ends_early"]
    assert "Another recording follows in the same file, and was" in warnings[0].text
    assert ("in part" in warnings[0].text) == (len(frames) > FRAMES)


def test_a_header_that_is_repeated_is_no_other_recording(media: Path) -> None:
    """Streams repeat it before each fragment, and tools leave an older one behind."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    live = clips.marker_clip(media / "live.mp4", frames=FRAMES, size=SIZE, gop=24, muxer_options=options)
    data = live.read_bytes()
    header, *fragments = data.split(b"moof")
    header, size = header[:-4], header[-4:]
    streamed = b""
    for fragment in fragments:
        streamed += header + size + b"moof" + fragment[:-4]
        size = fragment[-4:]
    assert len(fragments) == FRAMES // 24
    (media / "repeated.mp4").write_bytes(streamed + size)
    data = made(media, "fast.mp4").read_bytes()
    place = data.index(b"moov") - 4
    old = data[place : place + int.from_bytes(data[place : place + 4])].replace(b"udta", b"free")
    (media / "left.mp4").write_bytes(data + old)
    for name in ("repeated.mp4", "left.mp4"):
        frames, warnings = frames_and_warnings(media, name)
        assert [marker(frame.picture) for frame in frames] == list(range(FRAMES))
        assert not warnings


@pytest.mark.parametrize("name", ["a.ivf", "a.nut"])
def test_data_that_cannot_be_read_cost_no_picture_before_them(media: Path, name: str) -> None:
    (media / f"long_{name}").write_bytes(made(media, name).read_bytes() + b"\xaa" * 5000)
    frames, warnings = frames_and_warnings(media, f"long_{name}")
    assert [marker(frame.picture) for frame in frames] == list(range(FRAMES))
    assert "The rest of the recording is damaged" in warnings[0].text


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.ts"])
def test_of_containers_that_may_be_joined_all_is_read(media: Path, name: str) -> None:
    data = made(media, name).read_bytes()
    (media / f"joined_{name}").write_bytes(data + data)
    frames, warnings = frames_and_warnings(media, f"joined_{name}")
    assert len(frames) == 2 * FRAMES
    assert [marker(frame.picture) for frame in frames] == 2 * list(range(FRAMES))
    assert not warnings


@pytest.mark.parametrize("over_http", [False, True], ids=["file", "http"])
def test_a_ts_that_is_scrambled_says_so(media: Path, *, over_http: bool) -> None:
    data = bytearray(made(media, "a.ts").read_bytes())
    packets = range(0, len(data), 188)
    pictures = [n for n in packets if int.from_bytes(data[n + 1 : n + 3]) & 0x1FFF == 0x100]
    scramble = np.random.default_rng(1).bytes
    with web_server(media) as server:
        for share, name in ((0.5, "half.ts"), (0.0, "all.ts")):
            for place in pictures[int(share * len(pictures)) :]:
                data[place + 3] |= 0x80
                begin = place + 4 + (1 + data[place + 4] if data[place + 3] & 0x20 else 0)
                data[begin : place + 188] = scramble(place + 188 - begin)
            (media / name).write_bytes(data)
        source = f"{server.url}/half.ts" if over_http else "half.ts"
        frames, warnings = frames_and_warnings(media, source)
        assert FRAMES / 4 < len(frames) < FRAMES
        assert "The end of the recording is encrypted" in warnings[-1].text
        source = f"{server.url}/all.ts" if over_http else "all.ts"
        with pytest.raises(VideoError, match="is encrypted: remove the encryption"):
            frames_and_warnings(media, source)


def test_a_ts_that_is_only_marked_as_scrambled_is_whole(media: Path) -> None:
    """A recorder that has the key may leave the marks."""
    data = bytearray(made(media, "a.ts").read_bytes())
    for place in range(0, len(data), 188):
        data[place + 3] |= 0x80
    (media / "marked.ts").write_bytes(data)
    frames, warnings = frames_and_warnings(media, "marked.ts")
    assert (len(frames), warnings) == (FRAMES, [])
