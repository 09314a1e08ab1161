"""Of several video tracks, the one that a player would choose is analysed, or the one that is asked for."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import cast

import av
import numpy as np
import pytest
from av.stream import Disposition
from av.video.stream import VideoStream
from msgspec.structs import replace

from app.domain.media import Media
from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.reading import SampledFrame
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.faults import opened
from tests.video.recordings import SIZE, marker, read

Recipe = tuple[str, int, tuple[int, int]]  # codec, frames, size

FRONT: Recipe = ("libx264", 60, (96, 64))
REAR: Recipe = ("libx264", 60, (64, 48))
STILL: Recipe = ("libx264", 1, (128, 96))
PHOTO: Recipe = ("mjpeg", 1, (128, 96))


def write(path: Path, recipes: Sequence[Recipe], flags: dict[int, Disposition] | None = None) -> None:
    """Write a file with a video track for each recipe, in this order; `flags` are of the tracks' numbers."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, (codec, _, (width, height)) in enumerate(recipes):
            stream = cast("VideoStream", container.add_stream(codec, rate=30))
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = (flags or {}).get(number, Disposition(0))
            streams.append(stream)
        for position in range(max(frames for _, frames, _ in recipes)):
            for stream, (_, frames, (width, height)) in zip(streams, recipes, strict=True):
                if position < frames:
                    luma = np.full((height * 3 // 2, width), 100 + position, np.uint8)
                    frame = av.VideoFrame.from_ndarray(luma, format="yuv420p").reformat(format=stream.pix_fmt)
                    frame.pts = position
                    container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())


def media(folder: Path, name: str, track: int | None = None) -> Media:
    source = replace(parse_source(name), track=track)
    with open_video(source, folder, Networks(""), stop=Event()) as video:
        found = getattr(video, "media", None)
    assert isinstance(found, Media)
    return found


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
@pytest.mark.parametrize("still", [STILL, PHOTO])
def test_a_still_picture_in_front_is_not_taken_for_the_video(
    tmp_path: Path, suffix: str, still: Recipe
) -> None:
    write(tmp_path / f"clip.{suffix}", [still, FRONT])
    found = media(tmp_path, f"clip.{suffix}")
    assert (found.width, found.height, found.track, found.codec) == (96, 64, 1, "h264")
    assert found.tracks
    assert [track.still for track in found.tracks] == [True, False]


def test_the_track_that_is_marked_as_default_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "two.mkv", [FRONT, REAR], {1: Disposition.default})
    assert media(tmp_path, "two.mkv").width == 64


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "ts"])
def test_another_track_can_be_chosen(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"two.{suffix}", [FRONT, REAR])
    assert media(tmp_path, f"two.{suffix}").width == 96
    assert media(tmp_path, f"two.{suffix}", 0).width == 96
    found = media(tmp_path, f"two.{suffix}", 1)
    assert (found.width, found.height, found.track) == (64, 48, 1)


def test_a_track_that_does_not_exist_is_rejected_with_those_that_do(tmp_path: Path) -> None:
    write(tmp_path / "two.mkv", [PHOTO, FRONT])
    with pytest.raises(VideoError) as raised:
        media(tmp_path, "two.mkv", 2)
    assert str(raised.value) == (
        "two.mkv has no video track 2: it has 0 (mjpeg, 128x96, a still picture), 1 (h264, 96x64)"
    )
    assert not raised.value.retryable


def test_a_lone_still_picture_is_read(tmp_path: Path) -> None:
    write(tmp_path / "one.mkv", [STILL])
    assert media(tmp_path, "one.mkv").width == 128


def test_a_track_that_appears_in_the_middle_costs_nothing(tmp_path: Path) -> None:
    """PyAV then fails at the end of the file."""
    noise = np.random.default_rng(1).integers(0, 256, (20, 480, 640), np.uint8)
    long = clips.encode(tmp_path / "long.ts", noise, options={"crf": "1"}).read_bytes()
    assert len(long) > 5_000_000  # in which FFmpeg looks for tracks
    write(tmp_path / "two.ts", [FRONT, REAR])
    (tmp_path / "joined.ts").write_bytes(long + (tmp_path / "two.ts").read_bytes() + long)
    assert len(read(tmp_path, "joined.ts")) == 20 + 60 + 20


def write_film(path: Path, *, sounds: int) -> Path:
    """Write a film with many tracks of sound, such as one for each language."""
    clip = clips.marker_clip(path.with_name("clip.mkv"), frames=30, size=SIZE)
    with av.open(str(clip)) as source, av.open(str(path), "w") as film:
        video = film.add_stream_from_template(source.streams.video[0])
        tracks = [film.add_stream("mp2", rate=44100) for _ in range(sounds)]
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = video
                film.mux(packet)
        for track in tracks:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 2304), np.int16), format="s16", layout="stereo")
            frame.sample_rate, frame.pts = 44100, 0
            film.mux(track.encode(frame))
            film.mux(track.encode())
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_film_may_have_many_tracks_of_sound_and_text(tmp_path: Path, suffix: str) -> None:
    write_film(tmp_path / f"film.{suffix}", sounds=40)
    with opened(tmp_path, f"film.{suffix}") as video:
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
        assert [marker(frame.picture) for frame in frames] == list(range(30))
        assert video.warnings == []


def test_without_ranges_a_film_with_many_tracks_is_refused(tmp_path: Path) -> None:
    """Its tracks cannot be counted before it is opened."""
    write_film(tmp_path / "film.mkv", sounds=40)
    with web_server(tmp_path) as server:
        server.ranges = False
        with (
            pytest.raises(VideoError, match="has 20 tracks or more, and its web server"),
            opened(tmp_path, f"{server.url}/film.mkv"),
        ):
            pass


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_a_film_with_too_many_tracks_is_refused_with_their_number(tmp_path: Path, suffix: str) -> None:
    write_film(tmp_path / f"film.{suffix}", sounds=200)
    with pytest.raises(VideoError, match="1 video tracks and 200 others: at most 20 and, all together, 200"):
        read(tmp_path, f"film.{suffix}")
