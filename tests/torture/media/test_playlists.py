"""Playlists whose few bytes become much memory: FFmpeg keeps the whole address of each segment.

Each guard is also taken out, to see that it is this one that holds.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event

import pytest

from app.domain.networks import Networks
from app.domain.source import parse_source
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.transport import playlist as playlists
from app.video.transport.m3u8 import M3u8
from app.video.transport.playlist import TextSize
from tests.support.hostile_servers import HERE, hostile_web, page, to
from tests.torture.battery import Battery
from tests.torture.media.mutations import measured

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's way to measure memory")

ROW = 8
_HEAD = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n"
_KEY = b'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="' + b"k" * 3500 + b'"\n'
_BASE = f"/{'b' * 3500}/list.m3u8"


def _segments(count: int) -> bytes:
    return b"#EXTINF:1,\na.ts\n" * count + b"#EXT-X-ENDLIST\n"


def _variants(count: int) -> dict[str, bytes]:
    names = "".join(f"#EXT-X-STREAM-INF:BANDWIDTH={n + 1}\n/{n}.m3u8\n" for n in range(count))
    return {
        "/start.m3u8": to("/list.m3u8"),
        "/list.m3u8": page(_HEAD + names.encode()),
        **{f"/{n}.m3u8": page(_HEAD + _segments(50_000)) for n in range(count)},
    }


PLAYLISTS: dict[str, Callable[[], Mapping[str, bytes]]] = {
    "a long address before 90,000 segments": lambda: {
        "/start.m3u8": to(_BASE),
        _BASE: page(_HEAD + _segments(90_000)),
    },
    "a long key for 90,000 segments": lambda: {
        "/start.m3u8": to("/list.m3u8"),
        "/list.m3u8": page(_HEAD + _KEY + _segments(90_000)),
    },
    "40 variants of 50,000 segments": lambda: _variants(40),
}
"""Responses of a web server, by path."""


def unreduced(text: bytes, name: str, base_bytes: int, chosen: int | None) -> M3u8:
    """Return a playlist as the server sent it."""
    return M3u8(text, 0, target_duration=None, is_live=False)


def memory_of(pages: Mapping[str, bytes]) -> tuple[float, str]:
    """Open the playlist; return how much memory that took at most, in MiB, and the error."""
    with hostile_web(pages) as web, measured() as peak:
        try:
            with open_video(
                parse_source(f"{web}/start.m3u8"),
                Path(),
                Networks(HERE),
                stop=Event(),
                open_timeout=20,
                read_timeout=20,
            ):
                pass
        except VideoError as error:
            return peak(), str(error)
    raise AssertionError("there is no video")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", PLAYLISTS)
def test_a_playlist_takes_little_memory(battery: Battery, what: str) -> None:
    most, _ = memory_of(PLAYLISTS[what]())
    assert most < 100
    battery.passed(ROW, what, "1 playlist", f"{most:.0f} MiB at most")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", PLAYLISTS)
def test_without_its_limit_a_playlist_takes_much(
    monkeypatch: pytest.MonkeyPatch, battery: Battery, what: str
) -> None:
    monkeypatch.setattr(playlists, "MAX_SIZE", TextSize(2**40, 2**40, 2**40))
    monkeypatch.setattr(playlists, "parse_m3u8", unreduced)
    most, _ = memory_of(PLAYLISTS[what]())
    assert most > 150
    battery.unguarded(ROW, f"its limit: {what}", "1 playlist", f"{most:.0f} MiB")
