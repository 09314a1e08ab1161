"""Recordings whose recorder wrote no length, or something behind the last picture, are whole."""

import io
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from app.domain.sampling import EveryFrame
from app.video.reading import SampledFrame
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.faults import FRAMES, SIZE, opened

_FORMATS = {".mkv": "matroska", ".asf": "asf"}
_VENDOR = b"recorded by camera 7 of the depot\n" * 7


class _Pipe(io.RawIOBase):
    """A file in which no recorder can go back to write how long the recording became."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: "bytes | memoryview") -> int:  # type: ignore[override]
        self.data += data
        return len(data)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def live(path: Path, codec: clips.Codec) -> Path:
    """Write a recording to a pipe. FFmpeg guesses its length from the bit rate of its sound, or its size."""
    if path.suffix == ".avi":
        clips.marker_clip(path, frames=FRAMES, size=SIZE, codec=codec, gop=24)
        data = bytearray(path.read_bytes())
        data[4:8] = b"\xff" * 4
        length = data.index(b"strh") + 40
        data[length : length + 4] = (2**30).to_bytes(4, "little")
        path.write_bytes(data[: data.rindex(b"idx1")])
        return path
    if path.suffix == ".nut":
        plain = {"write_index": "0"}
        return clips.marker_clip(path, frames=FRAMES, size=SIZE, codec=codec, gop=24, muxer_options=plain)
    clip = clips.marker_clip(path.with_name(f"{codec}.mkv"), frames=FRAMES, size=SIZE, codec=codec, gop=24)
    pipe = _Pipe()
    with av.open(str(clip)) as source, av.open(pipe, "w", format=_FORMATS[path.suffix]) as target:
        video = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("mp2", rate=44100)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = video
                target.mux(packet)
        for number in range(FRAMES * 44100 // 30 // 1152):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 44100, number * 1152
            target.mux(sound.encode(frame))
        target.mux(sound.encode())
    path.write_bytes(pipe.data)
    return path


@pytest.mark.parametrize("over_http", [False, True], ids=["file", "http"])
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "mpeg4"),
        ("b.mkv", "mjpeg"),
        ("a.asf", "mpeg4"),
        ("a.avi", "mpeg4"),
        ("b.avi", "h264"),
        ("a.nut", "h264"),
    ],
)
def test_a_guessed_length_is_not_told_and_not_missed(
    media: Path, name: str, codec: clips.Codec, *, over_http: bool
) -> None:
    live(media / name, codec)
    with web_server(media) as server, opened(media, f"{server.url}/{name}" if over_http else name) as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
        assert [frame.frame for frame in frames if frame.error is None] == list(range(FRAMES))
        assert video.media.duration_seconds is None
        assert video.media.frames is None
        assert video.media.fps == pytest.approx(30, abs=0.1)
        assert video.warnings == []


@pytest.mark.parametrize("more", [b"\n", bytes(3001), bytes(2**20), b"\xff" * 4096, _VENDOR])
@pytest.mark.parametrize("name", ["clip.mp4", "fast.mp4", "fragments.mp4", "clip.mkv", "clip.ts", "clip.avi"])
def test_what_is_appended_to_a_recording_is_no_missing_end(media: Path, name: str, more: bytes) -> None:
    (media / f"longer_{name}").write_bytes((media / name).read_bytes() + more)
    with opened(media, f"longer_{name}") as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
        assert [frame.frame for frame in frames if frame.error is None] == list(range(FRAMES))
        assert video.warnings == []


def test_an_avi_whose_index_was_cut_off_tells_its_own_numbers(tmp_path: Path) -> None:
    """FFmpeg then lists the pictures that it read so far."""
    clips.marker_clip(tmp_path / "a.avi", frames=FRAMES, size=SIZE, codec="mjpeg")
    data = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: data.rindex(b"idx1")])
    with opened(tmp_path, "cut.avi") as video:
        assert (video.media.frames, video.media.fps) == (FRAMES, 30)
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
        assert len(frames) == FRAMES


@pytest.mark.parametrize("over_http", [False, True], ids=["file", "http"])
def test_a_large_hole_in_a_transport_stream_ends_nothing(media: Path, *, over_http: bool) -> None:
    """FFmpeg searches 64 KiB for the next packet, and then fails."""
    data = (media / "clip.ts").read_bytes()
    middle = len(data) // 2 // 188 * 188
    (media / "hole.ts").write_bytes(data[:middle] + bytes(188 * 2000) + data[middle:])
    with (
        web_server(media) as server,
        opened(media, f"{server.url}/hole.ts" if over_http else "hole.ts") as video,
    ):
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
    assert [frame.frame for frame in frames] == list(range(FRAMES))
    assert sum(frame.error is None for frame in frames) >= FRAMES - 24


def raw(path: Path, encoder: str, size: tuple[int, int], pix_fmt: str) -> Path:
    """Write ten pictures without a container that could tell how long they last."""
    with av.open(str(path), "w") as container:
        stream = cast("VideoStream", container.add_stream(encoder, rate=25))
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        for number in range(10):
            picture = av.VideoFrame.from_ndarray(clips.marker_picture(number, size), format="gray")
            picture = picture.reformat(format=pix_fmt)
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def test_no_length_is_guessed_from_a_bit_rate(tmp_path: Path) -> None:
    raw(tmp_path / "a.m1v", "mpeg1video", SIZE, "yuv420p")
    with opened(tmp_path, "a.m1v") as video:
        assert (video.media.fps, video.media.duration_seconds) == (25.0, None)


def test_raw_dv_has_the_rate_of_its_pictures(tmp_path: Path) -> None:
    raw(tmp_path / "a.dv", "dvvideo", (720, 576), "yuv420p")
    with opened(tmp_path, "a.dv") as video:
        assert (video.media.fps, video.media.duration_seconds) == (25.0, 0.4)
