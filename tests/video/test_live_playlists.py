"""Live playlists: segments come in bursts, or stop coming."""

import time
from pathlib import Path
from threading import Event

from app.domain.sampling import EveryFrame
from tests.support import clips
from tests.support.web_server import web_server
from tests.video.watching import live_playlist, marker, state, take, watched


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
        last = take(frames, 30)[-1]
        state(frames, "reconnecting")
        assert 2 < time.monotonic() - last.time < 10
