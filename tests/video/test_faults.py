"""Recordings that are missing, broken, cut short, or far away."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from app.domain.networks import Networks
from app.domain.source import parse_source
from app.domain.spec import EveryFrame
from app.video.errors import TruncatedError, VideoError, read_error
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.recording import Recording
from tests.support import clips
from tests.support.ports import free_port
from tests.support.web_server import web_server

FRAMES = 120
LOOPBACK = Networks("loopback")
SIZE = (256, 192)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    for name in ("clip.mp4", "clip.mkv", "clip.flv", "clip.avi", "clip.ts"):
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, gop=24)
    for name, flags in (("fast.mp4", "faststart"), ("fragments.mp4", "frag_keyframe+empty_moov")):
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, gop=24, muxer_options={"movflags": flags})
    for name in ("big.mkv", "big.mp4"):
        clips.marker_clip(folder / name, frames=FRAMES, size=SIZE, codec="mjpeg")
    return folder


@contextmanager
def opened(media: Path, source: str) -> Iterator[Recording]:
    with open_video(
        parse_source(source), media, LOOPBACK, stop=Event(), open_timeout=2, read_timeout=1
    ) as video:
        assert isinstance(video, Recording)
        yield video


def fault(media: Path, source: str) -> VideoError:
    """The error that opening or reading the source ends with."""
    with pytest.raises(VideoError) as caught:
        read(media, source)
    return caught.value


def read(media: Path, source: str) -> list[SampledFrame]:
    with opened(media, source) as video:
        return [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]


def read_to_the_fault(media: Path, source: str) -> tuple[list[SampledFrame], VideoError]:
    frames: list[SampledFrame] = []
    with opened(media, source) as video, pytest.raises(VideoError) as caught:
        frames.extend(entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame))
    return frames, caught.value


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
    assert "is incomplete" in str(error)
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


@pytest.mark.parametrize("name", ["fast.mp4", "fragments.mp4", "clip.mkv", "clip.flv", "clip.avi"])
def test_a_recording_that_ends_early_gives_what_there_is_and_says_where_it_ended(
    media: Path, name: str
) -> None:
    clips.truncate(media / name, 0.4, media / f"cut_{name}")
    frames, error = read_to_the_fault(media, f"cut_{name}")
    assert isinstance(error, TruncatedError)
    assert not error.retryable
    assert FRAMES * 0.2 < len(frames) < FRAMES * 0.6
    assert [frame.frame for frame in frames] == list(range(len(frames)))
    whole = [frame for frame in frames if frame.error is None]
    assert len(whole) >= len(frames) - 1
    assert "the recording ends early: frame" in str(error)
    assert f"({whole[-1].time:.1f}" in str(error)


def test_the_end_is_named_by_frame_and_time(media: Path) -> None:
    clips.truncate(media / "fast.mp4", 0.4, media / "cut.mp4")
    frames, error = read_to_the_fault(media, "cut.mp4")
    last = [frame for frame in frames if frame.picture][-1]
    expected = f"frame {last.frame} of {FRAMES} ({last.time:.1f} s) was the last that could be read"
    assert str(error) == f"the recording ends early: {expected}"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("flags", ["frag_keyframe+empty_moov", "frag_keyframe"])
def test_a_fragmented_mp4_that_is_cut_off_says_so(media: Path, flags: str, share: float) -> None:
    encoding: clips.Encoding = {"gop": 24, "muxer_options": {"movflags": flags}}
    clips.marker_clip(media / "whole.mp4", frames=FRAMES, size=SIZE, **encoding)
    with opened(media, "whole.mp4") as video:
        assert video.media.frames is None
        assert len([e for e in video.frames(EveryFrame(), "all") if isinstance(e, SampledFrame)]) == FRAMES
    clips.truncate(media / "whole.mp4", share, media / "cut.mp4")
    frames, error = read_to_the_fault(media, "cut.mp4")
    assert isinstance(error, TruncatedError)
    assert FRAMES * (share - 0.2) < len(frames) < FRAMES


def test_formats_that_do_not_tell_their_length_end_where_they_end(media: Path) -> None:
    clips.truncate(media / "clip.ts", 0.4, media / "cut_clip.ts")
    frames = read(media, "cut_clip.ts")
    assert FRAMES * 0.2 < len(frames) < FRAMES * 0.6


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
            assert not isinstance(caught.value, TruncatedError)
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


def test_over_http_a_recording_reads_as_from_a_file(media: Path) -> None:
    with web_server(media) as server:
        for name in ("clip.mp4", "fast.mp4", "clip.mkv", "clip.ts", "clip.avi"):
            frames = read(media, f"{server.url}/{name}")
            assert [frame.frame for frame in frames] == list(range(FRAMES)), name
            assert all(frame.picture for frame in frames), name


def test_a_dropped_connection_is_taken_up_again(media: Path) -> None:
    with web_server(media) as server:
        server.cut_after = 40_000
        for name in ("clip.mp4", "clip.mkv"):
            frames = read(media, f"{server.url}/{name}")
            assert [frame.frame for frame in frames] == list(range(FRAMES))
            assert all(frame.picture for frame in frames)


def test_a_server_that_stays_away_is_worth_another_attempt(media: Path) -> None:
    with web_server(media) as server:
        server.cut_after = 400_000
        with opened(media, f"{server.url}/big.mkv") as video:
            frames = video.frames(EveryFrame(), "all")
            next(frames)
            server.cut_after = 0
            with pytest.raises(VideoError, match=r"the connection to .* was lost after \d+ of \d+") as caught:
                list(frames)
    assert caught.value.retryable


def test_a_server_that_falls_silent_is_noticed_within_the_deadline(media: Path) -> None:
    with web_server(media) as server:
        server.stall_after = 20_000
        begun = time.monotonic()
        error = fault(media, f"{server.url}/clip.mkv")
        assert time.monotonic() - begun < 3
    assert error.retryable


def test_a_recording_that_changed_on_its_server_is_not_mixed_with_the_old_one(media: Path) -> None:
    moving = media / "moving.mkv"
    moving.write_bytes((media / "big.mkv").read_bytes())
    with web_server(media) as server:
        server.cut_after = 400_000
        with opened(media, f"{server.url}/moving.mkv") as video:
            moving.write_bytes((media / "clip.mkv").read_bytes())
            with pytest.raises(VideoError, match="was changed on its server") as caught:
                list(video.frames(EveryFrame(), "all"))
    assert not caught.value.retryable


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_recording_of_the_same_size_that_changed_on_its_server_is_noticed(media: Path, header: str) -> None:
    with web_server(media) as server:
        server.cut_after, server.headers = 400_000, {header: "the first"}
        with opened(media, f"{server.url}/big.mkv") as video:
            server.headers = {header: "the second"}
            with pytest.raises(VideoError, match="was changed on its server") as caught:
                list(video.frames(EveryFrame(), "all"))
    assert not caught.value.retryable


@pytest.mark.parametrize("header", ["ETag", "Last-Modified"])
def test_a_recording_that_changed_within_one_response_is_noticed_at_its_end(media: Path, header: str) -> None:
    with web_server(media) as server:
        server.headers = {header: "the first"}
        with opened(media, f"{server.url}/clip.ts") as video:
            assert len(read(media, f"{server.url}/clip.ts")) == FRAMES
            server.headers = {header: "the second"}
            with pytest.raises(VideoError, match="was changed on its server"):
                list(video.frames(EveryFrame(), "all"))


def test_a_recording_that_became_shorter_on_its_server_is_noticed(media: Path) -> None:
    moving = media / "shorter.mkv"
    moving.write_bytes((media / "big.mkv").read_bytes())
    with web_server(media) as server:
        server.cut_after = 400_000
        with opened(media, f"{server.url}/shorter.mkv") as video:
            clips.truncate(media / "big.mkv", 0.02, moving)
            with pytest.raises(VideoError, match="was changed on its server"):
                list(video.frames(EveryFrame(), "all"))


def test_a_recording_that_became_shorter_within_one_response_is_noticed(media: Path) -> None:
    moving = media / "short.ts"
    moving.write_bytes((media / "clip.ts").read_bytes())
    with web_server(media) as server, opened(media, f"{server.url}/short.ts") as video:
        clips.truncate(media / "clip.ts", 0.5, moving)
        with pytest.raises(VideoError, match="was changed on its server"):
            list(video.frames(EveryFrame(), "all"))


def test_another_range_than_the_one_asked_for_is_refused(media: Path) -> None:
    with web_server(media) as server:
        server.cut_after = 400_000
        with opened(media, f"{server.url}/big.mkv") as video:
            server.shift = 1000
            with pytest.raises(VideoError, match="answers with other bytes than requested"):
                list(video.frames(EveryFrame(), "all"))


def test_http_errors_are_told_apart(media: Path) -> None:
    with web_server(media) as server:
        missing = fault(media, f"{server.url}/none.mp4")
        clips.text_as_mp4(media / "text.mp4")
        text = fault(media, f"{server.url}/text.mp4")
    refused = fault(media, f"http://user:s3cret@127.0.0.1:{free_port()}/clip.mp4")
    assert "does not exist (404): check the address" in str(missing)
    assert not missing.retryable
    assert "is not a video" in str(text)
    assert not text.retryable
    assert "nothing listens there" in str(refused)
    assert "s3cret" not in str(refused)
    assert refused.retryable


def test_without_ranges_only_what_is_readable_in_one_go_is_read(media: Path) -> None:
    with web_server(media) as server:
        server.ranges = False
        assert len(read(media, f"{server.url}/fast.mp4")) == FRAMES
        error = fault(media, f"{server.url}/big.mp4")
    assert "does not support: copy the file below the media root" in str(error)
    assert not error.retryable


def test_a_playlist_of_segments_reads_as_one_recording(media: Path) -> None:
    (media / "vod.m3u8").write_text(
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:4\n#EXTINF:4.0,\nclip.ts\n#EXT-X-ENDLIST\n"
    )
    with web_server(media) as server:
        frames = read(media, f"{server.url}/vod.m3u8")
    assert [frame.frame for frame in frames] == list(range(FRAMES))


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
    before = open_files()
    with web_server(media) as server:
        for _ in range(5):
            for source in ("clip.mp4", "cut.mp4", "sound.mp4", "none.mp4", f"{server.url}/clip.mkv"):
                with suppress(VideoError), opened(media, source) as video:
                    next(video.frames(EveryFrame(), "all"))
    assert open_files() == before
