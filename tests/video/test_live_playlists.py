"""Live playlists: segments come in bursts, or stop coming."""

import time
from pathlib import Path
from threading import Event

import pytest

from app.domain.sampling import EveryFrame
from app.video.errors import VideoError
from app.video.transport.m3u8 import parse_m3u8
from app.video.transport.read_segments import ReadSegments
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.watching import live_playlist, marker, state, take, watched, why


def test_what_comes_in_bursts_is_spread_over_time(tmp_path: Path, stop: Event) -> None:
    """A live playlist gives whole segments at once."""
    clips.marker_clip(tmp_path / "one.ts", frames=45, size=(256, 192), gop=15)
    live_playlist(tmp_path, 1.5)
    with web_server(tmp_path) as server, watched(f"{server.url}/live.m3u8", stop) as video:
        received = take(video.frames(EveryFrame()), 30)
    assert 0.8 < received[-1].time - received[0].time < 5
    assert [marker(frame) for frame in received] == list(range(30))


def test_a_live_playlist_without_a_new_segment_is_lost_after_three_times_the_length_of_one(
    tmp_path: Path, stop: Event
) -> None:
    clips.marker_clip(tmp_path / "one.ts", frames=30, size=(256, 192), gop=15)
    live_playlist(tmp_path, 1)
    with web_server(tmp_path) as server, watched(f"{server.url}/live.m3u8", stop) as video:
        frames = video.frames(EveryFrame())
        last = take(frames, 25)[-1]  # FFmpeg holds the last ones back
        state(frames, "reconnecting")
        assert 2 < time.monotonic() - last.time < 10


def test_footage_that_was_read_is_not_read_again_after_a_loss(tmp_path: Path, stop: Event) -> None:
    """Else a camera that has stopped would show the same seconds for ever."""
    clips.marker_clip(tmp_path / "one.ts", frames=30, size=(256, 192), gop=15)
    clips.marker_clip(tmp_path / "two.ts", frames=45, size=(256, 192), gop=15)
    live_playlist(tmp_path, 1)
    with web_server(tmp_path) as server, watched(f"{server.url}/live.m3u8", stop) as video:
        frames = video.frames(EveryFrame())
        take(frames, 25)
        while "has no new segment" not in why(lost := state(frames, "reconnecting")):
            assert lost.loss
            assert lost.loss.tries < 3
        with (tmp_path / "live.m3u8").open("a") as playlist:
            playlist.write("#EXTINF:1.5,\ntwo.ts\n")
        new = take(frames, 40)
    assert [marker(frame) for frame in new] == list(range(40))
    assert "one.ts" not in server.requests[-1]


LIVE = """#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:1
#EXT-X-MEDIA-SEQUENCE:7
#EXT-X-DISCONTINUITY-SEQUENCE:2
#EXT-X-MAP:URI="a.mp4"
#EXTINF:1,
1.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="b.mp4"
#EXTINF:1,
./2.m4s?x=1
#EXTINF:1,
3.m4s
"""
PLACE = "http://camera/yard/live.m3u8"


def read_as_far_as(*names: str) -> ReadSegments:
    segments = ReadSegments()
    for name in names:
        segments.note_opened(PLACE)
        segments.note_listed(LIVE.encode(), PLACE)
        segments.note_opened(f"http://camera/yard/{name}")
    segments.note_opened(PLACE)
    return segments


def test_what_comes_after_the_last_segment_that_was_read_is_left() -> None:
    text = read_as_far_as("1.m4s", "2.m4s?x=1").without_read(LIVE.encode(), PLACE, "the list")
    assert text.decode().splitlines() == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:1",
        "#EXT-X-MEDIA-SEQUENCE:9",
        "#EXT-X-DISCONTINUITY-SEQUENCE:2",
        '#EXT-X-MAP:URI="b.mp4"',
        "#EXTINF:1,",
        "3.m4s",
    ]


def test_a_segment_that_was_not_read_to_its_end_is_read_again() -> None:
    segments = read_as_far_as("1.m4s")
    segments.note_opened("http://camera/yard/2.m4s?x=1")
    segments.reconnect()
    assert b"2.m4s" in segments.without_read(LIVE.encode(), PLACE, "the list")
    assert b"1.m4s" not in segments.without_read(LIVE.encode(), PLACE, "the list")


def test_other_segments_and_parts_of_one_file_are_left_as_they_are() -> None:
    segments = read_as_far_as("3.m4s")
    for text in (LIVE.replace("3.m4s", "4.m4s"), LIVE + "#EXTINF:1,\n#EXT-X-BYTERANGE:9@9\n3.m4s\n"):
        assert segments.without_read(text.encode(), PLACE, "the list").split() == text.encode().split()
    with pytest.raises(VideoError, match="has no new segment") as error:
        segments.without_read(LIVE.encode(), PLACE, "the list")
    assert error.value.retryable


@pytest.mark.parametrize("end", ["", "#EXT-X-ENDLIST\n"])
def test_segments_that_begin_in_two_ways_are_refused(end: str) -> None:
    """FFmpeg leaves out a whole segment, or reads it with the wrong beginning."""
    with pytest.raises(VideoError, match="EXT-X-MAP") as error:
        parse_m3u8((LIVE + end).encode(), "the list", 10)
    assert error.value.retryable == (not end)
    parse_m3u8((LIVE.replace("b.mp4", "a.mp4") + end).encode(), "the list", 10)
