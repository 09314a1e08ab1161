"""Recordings whose timestamps are unusual, or wrong."""

import re
from pathlib import Path

import av
import pytest

from app.domain.sampling import EveryFrame, FixedRate, Sampling
from app.video.reading import SampledFrame
from tests.support import clips
from tests.video.recordings import SIZE, marker, opened, read


def test_frames_before_the_beginning_are_no_frames(tmp_path: Path) -> None:
    """An edit list begins within the group of pictures: what precedes it is decoded, and not shown."""
    clips.marker_clip(tmp_path / "edited.mp4", frames=90, size=SIZE, gop=90, first_time=-1.0)
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
