"""Recordings that are missing, broken, cut short, or far away."""

import errno
import gc
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.errors import VideoError, read_error
from app.video.reading import SampledFrame
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.faults import FRAMES, SIZE, fault, opened, read, read_to_the_fault


def test_a_missing_file_says_where_to_put_it(media: Path) -> None:
    error = fault(media, "none.mp4")
    assert str(error) == "no file 'none.mp4' under the media root: put it there, or set VA_MEDIA_ROOT"
    assert not error.retryable


def test_a_link_out_of_the_media_root_is_refused(media: Path, tmp_path: Path) -> None:
    clips.text_as_mp4(tmp_path / "secret.mp4")
    (media / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    assert "outside the media root" in str(fault(media, "link.mp4"))


def test_a_text_file_is_no_video(media: Path) -> None:
    clips.text_as_mp4(media / "text.mp4")
    error = fault(media, "text.mp4")
    assert "text.mp4 is not a video" in str(error)
    assert not error.retryable


def test_an_empty_file_is_no_video(media: Path) -> None:
    (media / "empty.mp4").touch()
    assert "is not a video" in str(fault(media, "empty.mp4"))


def test_an_mp4_without_its_index_is_incomplete(media: Path) -> None:
    clips.truncate(media / "clip.mp4", 0.4, media / "no_index.mp4")
    error = fault(media, "no_index.mp4")
    assert str(error).startswith("no_index.mp4 is incomplete: its index (moov)")
    assert not error.retryable


def test_sound_alone_is_no_video(media: Path) -> None:
    clips.audio_only_clip(media / "sound.mp4")
    error = fault(media, "sound.mp4")
    assert str(error) == "sound.mp4 has no video stream"
    assert not error.retryable


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.ts", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile '{clip}'\n"),
        ("live.sdp", "v=0\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
        ("image_%03d.jpg", "x"),
        ("list.mpd", '<?xml version="1.0"?><MPD><BaseURL>{clip}</BaseURL></MPD>'),
    ],
)
def test_files_that_name_other_files_are_not_opened(media: Path, name: str, text: str) -> None:
    (media / name).write_text(text.format(clip=media / "clip.ts"))
    error = fault(media, name)
    assert "is not a video" in str(error)
    assert not error.retryable


def test_damage_costs_the_frames_it_hits_and_no_other_its_place(media: Path) -> None:
    clips.damage(media / "clip.mp4", media / "damaged.mp4", flips=15, first=0.4, last=0.6)
    frames, whole = read(media, "damaged.mp4"), read(media, "clip.mp4")
    assert [frame.frame for frame in frames] == list(range(FRAMES))
    assert all((frame.picture is None) == (frame.error is not None) for frame in frames)
    failed = [frame.frame for frame in frames if frame.error]
    assert failed
    # A group of pictures is 24 frames, and all damage lies within some of them.
    unharmed = set(range(FRAMES)) - {24 * (number // 24) + place for number in failed for place in range(24)}
    assert len(unharmed) >= FRAMES / 3
    for number in unharmed:
        damaged, sound = frames[number].picture, whole[number].picture
        assert damaged is not None
        assert sound is not None
        assert np.array_equal(damaged.gray(), sound.gray())


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.avi"])
def test_damage_never_stops_the_rest_from_being_read(media: Path, name: str) -> None:
    clips.damage(media / name, media / f"damaged_{name}", flips=15, first=0.4, last=0.6)
    frames = read(media, f"damaged_{name}")
    assert [frame.frame for frame in frames] == list(range(len(frames)))
    assert len(frames) > FRAMES * 0.75
    assert any(frame.error for frame in frames)
    assert frames[-1].picture


def test_a_recording_without_parameter_sets_fails_and_says_what_it_lacks(media: Path) -> None:
    data = (media / "clip.ts").read_bytes()
    cut = len(data) * 85 // 100 // 188 * 188
    (media / "headless.ts").write_bytes(data[:564] + data[cut:])
    frames, error = read_to_the_fault(media, "headless.ts")
    assert frames
    assert all(frame.error for frame in frames)
    assert f"none of the {len(frames)} sampled frames could be decoded" in str(error)
    assert "it lacks the parameter sets" in str(error)
    assert not error.retryable


def test_an_encrypted_recording_is_refused_as_such(media: Path) -> None:
    key = {"encryption_key": "76a6c65c5ea762046bd749a2e632ccbb", "encryption_kid": "0" * 32}
    options = {"encryption_scheme": "cenc-aes-ctr", **key}
    clips.marker_clip(media / "locked.mp4", frames=30, size=SIZE, muxer_options=options)
    error = fault(media, "locked.mp4")
    assert "the video in locked.mp4 is encrypted: remove the encryption" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("length", [0.5, 1.0, 1.5])
def test_a_file_that_is_overwritten_while_it_is_read_is_told(media: Path, length: float) -> None:
    data = (media / "big.mkv").read_bytes()
    path = media / "overwritten.mkv"
    path.write_bytes(data)
    os.utime(path, (1, 1))
    with opened(media, "overwritten.mkv") as video:
        frames = video.frames(EveryFrame(), "all")
        next(frames)
        path.write_bytes((data + data)[: int(len(data) * length)])
        if length < 1:
            with pytest.raises(VideoError, match="was changed while it was read: it has") as caught:
                list(frames)
            assert not caught.value.retryable
        else:
            list(frames)
            (warning,) = video.warnings
            assert warning.code == "file_changed"
            assert "The file was changed while it was read" in warning.text


def test_another_file_under_the_same_name_changes_nothing(media: Path) -> None:
    (media / "moved.mkv").write_bytes((media / "big.mkv").read_bytes())
    (media / "next.mkv").write_bytes((media / "clip.mkv").read_bytes())
    with opened(media, "moved.mkv") as video:
        frames = video.frames(EveryFrame(), "all")
        next(frames)
        (media / "next.mkv").rename(media / "moved.mkv")
        assert sum(isinstance(entry, SampledFrame) for entry in frames) == FRAMES - 1
        assert video.warnings == []


def test_a_recording_that_begins_amid_a_group_fails_only_what_it_cannot_show(media: Path) -> None:
    data = (media / "clip.ts").read_bytes()
    cut = len(data) * 3 // 10 // 188 * 188
    (media / "late.ts").write_bytes(data[:564] + data[cut:])
    frames = read(media, "late.ts")
    shown = [frame.frame for frame in frames if frame.picture]
    assert 0 < shown[0] < 24
    assert shown == list(range(shown[0], len(frames)))


def test_a_camera_s_silence_in_the_middle_of_a_packet_is_told_as_such() -> None:
    """FFmpeg then speaks of an input or output error, whether it waited in vain or was cut off."""
    fault = read_error(OSError(errno.EIO, "Input/output error"), parse_source("rtsp://camera/live"))
    assert "did not answer in time, or the connection was lost" in str(fault)
    assert fault.retryable
    assert "input/output error" in str(
        read_error(OSError(errno.EIO, "Input/output error"), parse_source("a.mp4"))
    )


def test_nothing_stays_open(media: Path) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    clips.truncate(media / "fast.mp4", 0.4, media / "cut.mp4")
    read(media, "clip.mp4")
    gc.collect()  # what earlier tests left open must not be closed meanwhile
    before = open_files()
    with web_server(media) as server:
        for _ in range(5):
            for source in ("clip.mp4", "cut.mp4", "sound.mp4", "none.mp4", f"{server.url}/clip.mkv"):
                with suppress(VideoError), opened(media, source) as video:
                    next(video.frames(EveryFrame(), "all"))
    assert open_files() <= before
