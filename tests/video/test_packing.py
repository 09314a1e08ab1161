"""Recordings whose packets hold half a picture, two of them, or none."""

import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import pytest

from app.domain.sampling import EveryFrame
from app.video.reading import SampledFrame
from app.video.recording import Recording
from tests.support import clips
from tests.support.field_pictures import write_field_pictures
from tests.video.recordings import SIZE, marker, opened, read

FRAMES = 60
PICTURE, PLACEHOLDER = b"\0\0\1\xb6", b"\0\0\1\xb6\x50\x7f\xff"


def shown(video: Recording) -> list[SampledFrame]:
    return [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]


def copy_packets(source: Path, target: Path, packets: list[bytes], times: list[int] | None = None) -> None:
    """Write packets to a container, with the stream of another."""
    with av.open(str(source)) as original, av.open(str(target), "w") as container:
        stream = container.add_stream_from_template(original.streams.video[0])
        for number, data in enumerate(packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = times[number] if times else number
            packet.time_base, packet.stream = stream.time_base or Fraction(1, 30), stream
            packet.is_keyframe = number == 0 or times is not None
            container.mux(packet)


def packets_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.video[0]) if packet.size]


def pack(packets: list[bytes]) -> list[bytes]:
    """Put each first B-frame into the packet before, as DivX does, and a placeholder after the last."""
    is_b_frame = [data[data.find(PICTURE) + 4] >> 6 == 2 for data in packets]
    begin = packets[0].find(PICTURE)
    first = packets[0][:begin] + b"\0\0\1\xb2DivX503b1393p" + packets[0][begin:]
    packets = [first, *packets[1:]]
    packed: list[bytes] = []
    place = 0
    while place < len(packets):
        packed.append(packets[place])
        place += 1
        if place < len(packets) and is_b_frame[place]:
            packed[-1] += packets[place]
            place += 1
            while place < len(packets) and is_b_frame[place]:
                packed.append(packets[place])
                place += 1
            packed.append(PLACEHOLDER)
    return packed


@pytest.mark.parametrize("bframes", [1, 2])
def test_packed_b_frames_stand_under_their_own_ordinals(tmp_path: Path, bframes: int) -> None:
    clips.marker_clip(tmp_path / "a.avi", frames=FRAMES, size=SIZE, codec="mpeg4", gop=20, bframes=bframes)
    packed = pack(packets_of(tmp_path / "a.avi"))
    assert len(packed) == FRAMES
    copy_packets(tmp_path / "a.avi", tmp_path / "packed.avi", packed)
    with opened(tmp_path, "packed.avi") as video:
        assert video.media.frames == FRAMES
        frames = shown(video)
    assert [frame.frame for frame in frames] == list(range(FRAMES))
    assert [marker(frame.picture) for frame in frames] == list(range(FRAMES))
    assert [frame.time for frame in frames] == pytest.approx([n / 30 for n in range(FRAMES)], abs=0.001)
    assert read(tmp_path, "packed.avi", start=33) == read(tmp_path, "packed.avi")[33:]


@pytest.mark.parametrize("suffix", ["ts", "mkv", "h264", "avi", "mp4"])
def test_two_fields_in_two_packets_are_one_frame(tmp_path: Path, suffix: str) -> None:
    pictures = [clips.marker_picture(number, SIZE) for number in range(40)]
    path = write_field_pictures(tmp_path / f"fields.{suffix}", pictures)
    assert len(packets_of(path)) == 80
    with opened(tmp_path, path.name) as video:
        if suffix in ("avi", "mp4"):
            assert (video.media.frames, video.media.frames_estimated) == (40, True)
            assert video.media.fps == pytest.approx(25, rel=0.02)
        frames = shown(video)
        assert video.warnings == []
    assert [frame.frame for frame in frames] == list(range(40))
    assert [marker(frame.picture) for frame in frames] == list(range(40))
    assert [frame.time for frame in frames] == pytest.approx([n / 25 for n in range(40)], abs=0.0015)
    assert read(tmp_path, path.name, start=17) == read(tmp_path, path.name)[17:]


@pytest.mark.parametrize("field", [20, 21])
@pytest.mark.parametrize("suffix", ["h264", "avi", "mp4"])
def test_a_damaged_field_costs_its_frame_alone(tmp_path: Path, suffix: str, field: int) -> None:
    pictures = [clips.marker_picture(number, SIZE) for number in range(40)]
    path = write_field_pictures(tmp_path / f"fields.{suffix}", pictures)
    clips.overwrite_packets(path, tmp_path / f"damaged.{suffix}", field, field)
    with opened(tmp_path, f"damaged.{suffix}") as video:
        frames = shown(video)
    assert len(frames) == 40
    assert {frame.frame for frame in frames if frame.error or marker(frame.picture) != frame.frame} <= {10}


def test_an_avi_with_empty_packets_tells_how_many_pictures_it_has(tmp_path: Path) -> None:
    clips.marker_clip(tmp_path / "a.avi", frames=20, size=SIZE, codec="mjpeg", fps=600)
    copy_packets(
        tmp_path / "a.avi",
        tmp_path / "spread.avi",
        packets_of(tmp_path / "a.avi"),
        [24 * number for number in range(20)],
    )
    with opened(tmp_path, "spread.avi") as video:
        assert video.media.frames == 20
        assert video.media.fps == pytest.approx(25, rel=0.06)
        frames = shown(video)
    assert [marker(frame.picture) for frame in frames] == list(range(20))
    assert frames[-1].time == pytest.approx(19 / 25, abs=0.002)


@pytest.mark.parametrize("codec", ["h264", "hevc", "mpeg4", "mpeg2", "vp8", "h263p", "ffv1", "wmv2"])
def test_a_container_that_calls_every_picture_a_key_frame_is_not_believed(
    tmp_path: Path, codec: clips.Codec
) -> None:
    suffix = "avi" if codec in ("h263p", "wmv2") else "mkv"
    keys = f"keys.{suffix}"
    original = clips.marker_clip(tmp_path / f"a.{suffix}", frames=FRAMES, size=SIZE, codec=codec, gop=20)
    with av.open(str(original)) as source, av.open(str(tmp_path / keys), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.is_keyframe, packet.stream = True, copy
                target.mux(packet)
    whole = read(tmp_path, f"a.{suffix}")
    assert read(tmp_path, keys) == whole
    for start in (15, 31, 45):
        assert read(tmp_path, keys, start=start) == whole[start:]


def test_key_frames_of_a_codec_that_has_no_others_are_believed(tmp_path: Path) -> None:
    clips.marker_clip(tmp_path / "a.mkv", frames=FRAMES, size=SIZE, codec="ffv1", gop=1)
    assert len(read(tmp_path, "a.mkv", candidates="key")) == FRAMES


def test_parameter_sets_that_change_in_a_dropped_packet_count_for_the_next(tmp_path: Path) -> None:
    """FLV tells new ones with the first packet that needs them, as after a camera's restart."""
    for name, size in (("a.flv", (256, 192)), ("b.flv", (320, 240))):
        clips.marker_clip(tmp_path / name, frames=FRAMES, size=size, gop=10, bframes=0)
    second = bytearray((tmp_path / "b.flv").read_bytes()[13:])
    place = 0
    while place < len(second):  # the time of each tag goes on after the first recording
        time = int.from_bytes(second[place + 4 : place + 7]) + 2000
        second[place + 4 : place + 7] = time.to_bytes(3)
        place += 15 + int.from_bytes(second[place + 1 : place + 4])
    (tmp_path / "a.flv").write_bytes((tmp_path / "a.flv").read_bytes() + second)
    whole = read(tmp_path, "a.flv")
    assert len(whole) == 2 * FRAMES
    assert all(isinstance(frame.content, bytes) for frame in whole)
    for start in (FRAMES - 5, FRAMES + 25, 2 * FRAMES - 3):
        assert read(tmp_path, "a.flv", start=start) == whole[start:]


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs Debian's ffmpeg, which encodes Theora")
def test_headers_inside_a_joined_ogg_are_no_frames_and_count_for_those_after_them(tmp_path: Path) -> None:
    joined = b""
    for name, size in (("a", SIZE), ("b", (320, 240))):
        clips.marker_clip(tmp_path / f"{name}.mkv", frames=FRAMES, size=size)
        command = f"ffmpeg -v error -i {name}.mkv -c:v libtheora -q:v 8 -g 20 {name}.ogv"
        subprocess.run(command.split(), cwd=tmp_path, check=True, timeout=60)
        joined += (tmp_path / f"{name}.ogv").read_bytes()
    (tmp_path / "a.ogv").write_bytes(joined)
    with opened(tmp_path, "a.ogv") as video:
        frames = shown(video)
        assert not video.warnings
    assert [marker(frame.picture) for frame in frames] == 2 * list(range(FRAMES))
    assert [frame.time for frame in frames] == pytest.approx([n / 30 for n in range(2 * FRAMES)], abs=0.001)
    whole = read(tmp_path, "a.ogv")
    for start in (FRAMES - 5, FRAMES, FRAMES + 25, 2 * FRAMES - 3):
        assert read(tmp_path, "a.ogv", start=start) == whole[start:]


def test_pictures_of_a_joined_nut_are_in_order(tmp_path: Path) -> None:
    """FFmpeg makes a few packets of the second header, which are errors."""
    clips.marker_clip(tmp_path / "a.nut", frames=FRAMES, size=SIZE, gop=20)
    (tmp_path / "a.nut").write_bytes(2 * (tmp_path / "a.nut").read_bytes())
    with opened(tmp_path, "a.nut") as video:
        found = [marker(frame.picture) for frame in shown(video) if frame.picture is not None]
    assert found[:FRAMES] == found[-FRAMES:] == list(range(FRAMES))
