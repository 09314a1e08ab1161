"""Recordings whose timestamps are unusual, or wrong."""

import re
import struct
from pathlib import Path

import av
import pytest

from app.domain.sampling import EveryFrame, FixedRate, Sampling
from app.video.reading import SampledFrame
from tests.support import clips
from tests.video.recordings import SIZE, marker, opened, read


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_frames_before_the_beginning_are_no_frames(tmp_path: Path, codec: clips.Codec) -> None:
    """An edit list begins within the group of pictures: what precedes it is decoded, and not shown."""
    clips.marker_clip(tmp_path / "edited.mp4", frames=90, size=SIZE, gop=90, first_time=-1.0, codec=codec)
    with opened(tmp_path, "edited.mp4") as video:
        assert (video.media.frames, video.media.duration_seconds) == (60, 2.0)
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
    assert [entry.frame for entry in frames] == list(range(60))
    assert [marker(entry.picture) for entry in frames] == list(range(30, 90))
    assert frames[0].time == 0.0
    assert read(tmp_path, "edited.mp4", start=10) == read(tmp_path, "edited.mp4")[10:]


def test_times_are_those_of_the_recording_if_its_rate_varies(tmp_path: Path) -> None:
    times = [0.0, 0.02, 0.1, 0.5, 0.52, 2.0, 2.04, 2.08, 5.0, 5.5, 6.0, 6.01]
    for name in ("varied.mp4", "varied.mkv"):
        clips.marker_clip(tmp_path / name, frames=len(times), size=SIZE, times=times, gop=5)
        assert [frame.time for frame in read(tmp_path, name)] == pytest.approx(times, abs=0.001)
        assert [frame.number for frame in read(tmp_path, name, FixedRate(1))] == [0, 5, 8, 10]


def test_joined_recordings_go_on_where_the_first_ended(tmp_path: Path) -> None:
    part = clips.marker_clip(tmp_path / "part.ts", frames=60, size=SIZE, gop=20).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part + part + part)
    frames = read(tmp_path, "joined.ts")
    assert [frame.number for frame in frames] == list(range(180))
    assert [frame.time for frame in frames] == pytest.approx(
        [number / 30 for number in range(180)], abs=0.001
    )
    assert not any(isinstance(frame.content, str) for frame in frames)
    assert read(tmp_path, "joined.ts", start=100) == frames[100:]


@pytest.mark.parametrize("offsets", [(36000, 0), (0, 36000), (90000, 0), (0, 36000, 5)])
def test_time_goes_on_in_a_transport_stream_whose_clock_is_set(
    tmp_path: Path, offsets: tuple[int, ...]
) -> None:
    joined = b""
    for offset in offsets:
        clip = clips.marker_clip(
            tmp_path / f"{offset}.ts", frames=60, size=SIZE, gop=20, first_time=float(offset)
        )
        joined += clip.read_bytes()
    (tmp_path / "joined.ts").write_bytes(joined)
    frames = read(tmp_path, "joined.ts")
    count = 60 * len(offsets)
    assert [frame.number for frame in frames] == list(range(count))
    assert [frame.time for frame in frames] == pytest.approx([n / 30 for n in range(count)], abs=0.001)
    assert not any(isinstance(frame.content, str) for frame in frames)


@pytest.mark.parametrize("bframes", [(0, 2), (2, 0), (3, 1)])
def test_pictures_of_joined_recordings_are_not_mixed(tmp_path: Path, bframes: tuple[int, int]) -> None:
    """B-frames are decoded before they are shown, so the first recording's last times reach into the next."""
    joined = b""
    for number, count in enumerate(bframes):
        path = tmp_path / f"{number}.ts"
        clips.marker_clip(path, frames=60, size=SIZE, gop=20, bframes=count, fps=10)
        joined += path.read_bytes()
    (tmp_path / "joined.ts").write_bytes(joined)
    with opened(tmp_path, "joined.ts") as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
    assert [marker(frame.picture) for frame in frames] == [*range(60), *range(60)]
    assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(120)], abs=0.001)
    resumed = read(tmp_path, "joined.ts", start=58)
    assert resumed == read(tmp_path, "joined.ts")[58:]


@pytest.mark.parametrize(
    ("codecs", "name"),
    [(("h264", "mpeg2"), "MPEG-2"), (("mpeg2", "h264"), "H.264"), (("hevc", "h264"), "H.264")],
)
def test_a_recording_that_goes_on_in_another_codec_ends_there(
    tmp_path: Path, codecs: tuple[clips.Codec, clips.Codec], name: str
) -> None:
    joined = b""
    for codec in codecs:
        path = clips.marker_clip(tmp_path / f"{codec}.ts", frames=60, size=SIZE, codec=codec, gop=20)
        joined += path.read_bytes()
    (tmp_path / "joined.ts").write_bytes(joined)
    with opened(tmp_path, "joined.ts") as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
    shown = [marker(frame.picture) for frame in frames if frame.picture]
    assert shown[:56] == list(range(56))
    assert len(frames) < 66  # FFmpeg loses or damages a few at the join
    assert f"goes on in {name}, another codec" in video.warnings[-1].text
    assert video.warnings[-1].code == "ends_early"


def test_the_frames_of_an_edit_list_are_counted(tmp_path: Path) -> None:
    """One with a pause at the beginning: its duration does not tell how many pictures are shown."""
    data = clips.marker_clip(tmp_path / "a.mp4", frames=120, size=SIZE, gop=30, bframes=0).read_bytes()
    begin = data.index(b"edts") - 4
    edits = [(500, -1), (1000, 0), (1000, 2)]  # duration in 1/1000 s, and seconds of the recording
    rate = int.from_bytes(data[data.index(b"mdhd") + 16 :][:4])
    times = [
        struct.pack(">IiI", duration, time * rate if time > 0 else time, 1 << 16) for duration, time in edits
    ]
    table = struct.pack(">I4sII", 16 + 12 * len(edits), b"elst", 0, len(edits)) + b"".join(times)
    box = struct.pack(">I4s", 8 + len(table), b"edts") + table
    more = len(box) - int.from_bytes(data[begin : begin + 4])
    edited = bytearray(data)
    for kind in (b"trak", b"moov"):
        place = data.rindex(kind, 0, begin) - 4
        edited[place : place + 4] = (int.from_bytes(data[place : place + 4]) + more).to_bytes(4)
    edited[begin : begin + len(box) - more] = box
    (tmp_path / "edited.mp4").write_bytes(edited)
    with opened(tmp_path, "edited.mp4") as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
        assert (video.media.frames, video.media.frames_estimated) == (len(frames), False)
        assert video.warnings == []
    assert [marker(frame.picture) for frame in frames] == [*range(30), *range(60, 90)]


def test_pictures_that_are_never_shown_are_not_counted(tmp_path: Path) -> None:
    """VP8 has them, as references for others."""
    clips.marker_clip(tmp_path / "shown.webm", frames=30, size=SIZE, codec="vp8")
    with av.open(tmp_path / "shown.webm") as source, av.open(tmp_path / "hidden.webm", "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.size:
                data = bytearray(packet)
                data[0] &= 0xEF if number in (7, 8) else 0xFF
                hidden = av.Packet(bytes(data))
                hidden.pts, hidden.dts, hidden.time_base = packet.pts, packet.dts, packet.time_base
                hidden.is_keyframe, hidden.stream = packet.is_keyframe, copy
                target.mux(hidden)
    with opened(tmp_path, "hidden.webm") as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
    assert [entry.frame for entry in frames] == list(range(28))
    assert [marker(entry.picture) for entry in frames] == [n for n in range(30) if n not in (7, 8)]


@pytest.mark.parametrize("sampling", [EveryFrame(), FixedRate(10)], ids=["all", "fps"])
def test_times_never_decrease_if_a_timestamp_is_wrong(tmp_path: Path, sampling: Sampling) -> None:
    """They are searched by halving."""
    clips.marker_clip(tmp_path / "wrong.mkv", frames=40, size=SIZE, codec="mjpeg", fps=25)
    recorded = bytearray((tmp_path / "wrong.mkv").read_bytes())
    blocks = [match.start() for match in re.finditer(rb"\x81\x00[\x00\x28]\x80", recorded)]
    assert len(blocks) == 40  # each: its track, its time of two bytes in milliseconds, and its flags
    recorded[blocks[10] + 1 : blocks[10] + 3] = (700).to_bytes(2, "big")
    (tmp_path / "wrong.mkv").write_bytes(recorded)
    whole = read(tmp_path, "wrong.mkv", sampling)
    times = [frame.time for frame in whole]
    assert times == sorted(times)
    assert times[-1] > 1.5
    assert len(whole) == (40 if sampling == EveryFrame() else 17)  # one more as it jumps, and back
    later = read(tmp_path, "wrong.mkv", sampling, start=20)
    assert later == [frame for frame in whole if frame.number >= 20]


def test_a_single_wrong_time_is_not_taken_for_a_join(tmp_path: Path) -> None:
    clips.marker_clip(tmp_path / "far.mkv", frames=40, size=SIZE, codec="mjpeg", fps=25)
    recorded = bytearray((tmp_path / "far.mkv").read_bytes())
    blocks = [match.start() for match in re.finditer(rb"\x81\x00[\x00\x28]\x80", recorded)]
    recorded[blocks[10] + 1 : blocks[10] + 3] = (30_000).to_bytes(2, "big")
    (tmp_path / "far.mkv").write_bytes(recorded)
    times = [frame.time for frame in read(tmp_path, "far.mkv")]
    assert times == pytest.approx([number / 25 for number in range(40)], abs=0.001)
