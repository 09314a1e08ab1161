"""HLS playlists: which of several variants is read, and how much text is taken."""

from pathlib import Path
from threading import Event

import pytest
from msgspec.structs import replace

from app.domain.media import Media, VideoTrack
from app.domain.networks import Networks
from app.domain.sampling import EveryFrame
from app.domain.source import parse_source
from app.video.errors import VideoError
from app.video.fragments import FragmentMemory
from app.video.open import open_video
from app.video.reading import SampledFrame
from app.video.recording import Recording
from app.video.transport import playlist as playlists
from app.video.transport.http_client import HttpClient
from app.video.transport.m3u8 import count_lines, parse_m3u8
from app.video.transport.playlist import Playlist, TextSize
from tests.support import clips
from tests.support.web_server import WebServer, web_server

FRAMES = 20


@pytest.fixture
def media(tmp_path: Path) -> Path:
    for name, size in (("low", (240, 176)), ("high", (320, 240)), ("middle", (256, 192))):
        clips.marker_clip(tmp_path / f"{name}.ts", frames=FRAMES, size=size, gop=10)
        (tmp_path / f"{name}.m3u8").write_text(media_playlist(f"{name}.ts"))
    return tmp_path


def media_playlist(*segments: str) -> str:
    lines = "".join(f"#EXTINF:2,\n{segment}\n" for segment in segments)
    return f"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n{lines}#EXT-X-ENDLIST\n"


def size_read(server: WebServer, name: str, track: int | None = None) -> tuple[int, int]:
    """Read a playlist to its end, and return the size of its pictures."""
    media = media_read(server, name, track)
    return media.width, media.height


def media_read(server: WebServer, name: str, track: int | None = None) -> Media:
    with open_video(
        replace(parse_source(f"{server.url}/{name}"), track=track),
        Path(),
        Networks("loopback"),
        stop=Event(),
        open_timeout=4,
        read_timeout=2,
    ) as video:
        assert isinstance(video, Recording)
        frames = [entry for entry in video.frames(EveryFrame(), "all") if isinstance(entry, SampledFrame)]
        assert len(frames) == FRAMES
        return video.media


def fault(server: WebServer, name: str, track: int | None = None) -> VideoError:
    with pytest.raises(VideoError) as caught:
        size_read(server, name, track)
    return caught.value


def test_segments_of_other_containers_are_refused_with_the_reason(tmp_path: Path) -> None:
    clips.marker_clip(tmp_path / "a.mkv", frames=FRAMES, size=(240, 176))
    (tmp_path / "a.m3u8").write_text(media_playlist("a.mkv"))
    with web_server(tmp_path) as server:
        refused = fault(server, "a.m3u8")
    assert str(refused).endswith("has segments that cannot be read: only MPEG-TS and mp4 are supported")
    assert not refused.retryable


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_best_variant_is_read_and_no_other_is_requested(media: Path, end: str, mark: str) -> None:
    lines = [
        "#EXTM3U",
        '#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",DEFAULT=YES,URI="sound.m3u8"',
        '#EXT-X-STREAM-INF:BANDWIDTH=900000,RESOLUTION=240x176,AUDIO="a"',
        "low.m3u8",
        "",
        '#EXT-X-STREAM-INF:BANDWIDTH=300000,RESOLUTION=320x240,CODECS="avc1.640028,mp4a.40.2",AUDIO="a"',
        "# a note",
        "high.m3u8",
        '#EXT-X-STREAM-INF:BANDWIDTH=500000,RESOLUTION=256x192,AUDIO="a"',
        "middle.m3u8",
        '#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=9,RESOLUTION=999x999,URI="low.m3u8"',
    ]
    (media / "all.m3u8").write_bytes((mark + end.join([*lines, ""])).encode())
    with web_server(media) as server:
        assert size_read(server, "all.m3u8") == (320, 240)
        assert {path for path in server.requests if "all" not in path} == {"/high.m3u8", "/high.ts"}


def test_another_variant_can_be_chosen_and_media_lists_all(media: Path) -> None:
    (media / "all.m3u8").write_text(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=3,RESOLUTION=320x240\nhigh.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2\nmiddle.m3u8\n"
    )
    tracks = (VideoTrack(0, width=320, height=240), VideoTrack(1))
    with web_server(media) as server:
        best_media, chosen = media_read(server, "all.m3u8"), media_read(server, "all.m3u8", 1)
        assert (best_media.width, best_media.track, best_media.tracks) == (320, 0, tracks)
        assert (chosen.width, chosen.track, chosen.tracks) == (256, 1, tracks)
        error = fault(server, "all.m3u8", 2)
        assert "all.m3u8 has no video track 2: it has 0 (320x240), 1" in str(error)
        assert not error.retryable
        assert "has no video track 1" in str(fault(server, "high.m3u8", 1))


def best(*descriptions: str) -> int:
    """Return the number of the variant that is taken."""
    text = "".join(
        f"#EXT-X-STREAM-INF:{description}\n{number}\n" for number, description in enumerate(descriptions)
    )
    found = parse_m3u8(f"#EXTM3U\n{text}".encode(), "the list", 0)
    assert len(found.variants) == len(descriptions)
    return int(found.text.split()[-1])


def test_pixels_then_colours_then_bandwidth_tell_which_variant_is_best() -> None:
    assert best("BANDWIDTH=1", "BANDWIDTH=3", "BANDWIDTH=2") == 1
    assert best("RESOLUTION=64x48,BANDWIDTH=9", "RESOLUTION=640x480,BANDWIDTH=1") == 1
    assert best("BANDWIDTH=1,RESOLUTION=64x48", "BANDWIDTH=2,RESOLUTION=64x48") == 1
    assert best('BANDWIDTH=9,CODECS="mp4a.40.2"', 'BANDWIDTH=2,CODECS="mp4a.40.2,avc1.4d401f"') == 1
    assert (
        best("RESOLUTION=64x48,BANDWIDTH=9,VIDEO-RANGE=PQ", "RESOLUTION=64x48,BANDWIDTH=1,VIDEO-RANGE=SDR")
        == 1
    )
    assert best("", 'NAME="a,BANDWIDTH=7",BANDWIDTH=2', "BANDWIDTH=3") == 2
    assert best('CODECS="mp4a.40.2"') == 0


def test_a_list_of_variants_within_one_is_refused(media: Path) -> None:
    (media / "loop.m3u8").write_text("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nloop.m3u8\n")
    with web_server(media) as server:
        assert "names a list of variants as a variant" in str(fault(server, "loop.m3u8"))
        assert len(server.requests) < 5


@pytest.mark.parametrize("method", ["AES-128", "SAMPLE-AES", "none", ""])
def test_an_encrypted_playlist_is_refused(media: Path, method: str) -> None:
    key = f'#EXT-X-KEY:METHOD={method},URI="key"\n#EXTINF:2,\nlow.ts\n'
    (media / "keys.m3u8").write_text(media_playlist("low.ts").replace("#EXTINF:2,\nlow.ts\n", key))
    with web_server(media) as server:
        error = fault(server, "keys.m3u8")
        assert "is encrypted, which is not supported" in str(error)
        assert not error.retryable
        assert not any("key" in path for path in server.requests if path != "/keys.m3u8")


def test_a_playlist_that_says_it_is_not_encrypted_is_read(media: Path) -> None:
    text = media_playlist("low.ts").replace("#EXTINF", "#EXT-X-KEY:METHOD=NONE\n#EXTINF")
    (media / "plain.m3u8").write_text(text)
    with web_server(media) as server:
        assert size_read(server, "plain.m3u8") == (240, 176)


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (TextSize(2000, 10**6, 10**6), "has playlists of more than 0 MiB of text"),
        (TextSize(10**6, 150, 10**6), "has playlists of more than 150 lines"),
        (TextSize(10**6, 10**6, 1500), "has playlists of more than 0 MiB of addresses"),
    ],
)
def test_all_playlists_of_an_opening_are_limited_together(
    media: Path, monkeypatch: pytest.MonkeyPatch, limit: TextSize, said: str
) -> None:
    comments = "#\n" * 100
    (media / "long.m3u8").write_text(media_playlist("low.ts") + comments + "#" * 1000)
    (media / "all.m3u8").write_text(
        f"#EXTM3U\n{comments}#{'x' * 1000}\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlong.m3u8\n"
    )
    with web_server(media) as server:
        assert size_read(server, "all.m3u8") == (240, 176)
        if limit.address_bytes < 10**6:
            (media / "long.m3u8").write_text(media_playlist(*["low.ts"] * 50))
        monkeypatch.setattr(playlists, "MAX_SIZE", limit)
        error = fault(server, "all.m3u8")
        assert said in str(error)
        assert not error.retryable


def reduced(playlist: Playlist, text: str) -> bytes:
    return playlist.read_text("http://127.0.0.1/live.m3u8", [text.encode()])


def new_playlist() -> Playlist:
    client = HttpClient(Networks("loopback"), silence_timeout=1.0, timeout=1.0)
    return Playlist("the list", client, Event(), None, FragmentMemory(lambda _: None))


def test_a_live_playlist_counts_once_however_often_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    text = media_playlist("low.ts")
    monkeypatch.setattr(playlists, "MAX_SIZE", TextSize(2 * len(text), 20, 200))
    playlist = new_playlist()
    for _ in range(20):
        assert reduced(playlist, text)
    assert playlist.target_duration == 2
    with pytest.raises(VideoError):
        playlist.read_text("http://127.0.0.1/other.m3u8", 2 * [text.encode()])


def test_a_playlist_at_a_very_long_address_is_refused() -> None:
    with pytest.raises(VideoError, match=r"whose address has more than 4,096 characters"):
        new_playlist().read_text(f"http://127.0.0.1/{'x' * 4100}", [b"#EXTM3U\n"])


def test_lines_are_counted_and_split_as_ffmpeg_does() -> None:
    assert count_lines(b"a\r\nb\nc\rd\0e") == 5
    text = b"#EXTM3U\0#EXT-X-KEY:METHOD=NONE\r#EXTINF:2,\r\n \tx.ts \n"
    assert parse_m3u8(text, "the list", 0).text.split() == [b"#EXTM3U", b"#EXTINF:2,", b"x.ts"]
    with pytest.raises(VideoError):
        parse_m3u8(b"#EXTM3U\0#EXT-X-KEY:METHOD=AES-128", "the list", 0)


def test_an_invalid_address_in_a_playlist_is_explained() -> None:
    playlist = new_playlist()
    playlist.open("http://a]b/1.ts", 0, {})
    assert "invalid http address" in str(playlist.fault)
