"""Recordings over HTTP whose server, connection or content fails."""

import time
from pathlib import Path

import pytest

from app.domain.sampling import EveryFrame
from app.video.errors import VideoError
from tests.support import clips
from tests.support.ports import free_port
from tests.support.web_server import web_server
from tests.video.faults import FRAMES, fault, opened, read


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
        assert time.monotonic() - begun < 20
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
