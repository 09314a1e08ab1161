import os
import re
from pathlib import Path
from time import perf_counter

import pytest

from app.domain.redaction import redact
from app.domain.source import SourceError, parse_source


def refusal(text: str, root: Path | None = None) -> str:
    try:
        source = parse_source(text)
        if root is not None:
            source.resolve(root)
    except SourceError as error:
        return str(error)
    pytest.fail(f"{text!r} was let through")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "media"
    (root / "gate").mkdir(parents=True)
    (root / "gate" / "clip.mp4").write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    return root


@pytest.mark.parametrize("text", ["gate/clip.mp4", "./gate/clip.mp4", "gate//./clip.mp4"])
def test_a_file_is_found_below_the_media_root(root: Path, text: str) -> None:
    source = parse_source(text)
    assert (source.kind, source.live) == ("file", False)
    assert source.resolve(root) == (root / "gate" / "clip.mp4").resolve()


@pytest.mark.parametrize(
    "text",
    ["2024-01-01T10:00:00.mp4", "./cam1:front.mp4", "gate/a:b.mp4", "été 1.mp4", "-rf", "%2e%2e", "x?y#z"],
)
def test_odd_names_are_files_like_others(root: Path, text: str) -> None:
    (root / text).write_bytes(b"x")
    assert parse_source(text).resolve(root) == (root / text).resolve()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("../secret.mp4", "'..'"),
        ("gate/../../secret.mp4", "'..'"),
        ("gate\\clip.mp4", "backslash"),
        ("gate/clip.mp4\x00.txt", "control"),
        ("a\nb.mp4", "control"),
        (".", "folder"),
        ("cam1:front.mp4", "'./name'"),
        ("C:/video.mp4", "'c:'"),
    ],
)
def test_a_path_that_may_not_be_opened_is_refused(text: str, said: str) -> None:
    assert said in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "concat:a.mp4|b.mp4", "file:/etc/passwd", "file:clip.mp4", "subfile:,,start,0,end,9,,:clip.mp4",
        "subfile,,start,0,end,9,,:clip.mp4",
        "data:video/mp4;base64,AAAA", "pipe:0", "fd:0", "ftp://host/x", "crypto:clip.mp4", "rtmp://host/x", "udp://@:1",
        "lavfi:testsrc", "CONCAT:x", "async:cache:file:/etc/passwd", "hls+file:/etc/passwd", "rtp://host:1",
    ],
)  # fmt: skip
def test_other_schemes_are_refused_by_name_with_what_is_allowed(text: str) -> None:
    message = refusal(text)
    assert repr(re.split("[:,]", text)[0].lower() + ":") in message
    assert "rtsp://" in message
    assert "test:" in message


def test_a_missing_file_says_where_to_put_it(root: Path) -> None:
    for text in ("none.mp4", "gate/clip.mp4/more", "none/clip.mp4"):
        assert refusal(text, root) == (
            f"no file {text!r} under the media root: put it there, or set VA_MEDIA_ROOT"
        )
    assert "media root does not exist" in refusal("clip.mp4", root / "nowhere")


def test_links_are_followed_only_inside_the_root(root: Path) -> None:
    (root / "inside.mp4").symlink_to("gate/clip.mp4")
    (root / "outside.mp4").symlink_to("../secret.mp4")
    (root / "up").symlink_to("..")
    (root / "loop.mp4").symlink_to("loop.mp4")
    assert parse_source("inside.mp4").resolve(root).read_bytes() == b"x"
    assert "outside the media root" in refusal("outside.mp4", root)
    assert "outside the media root" in refusal("up/secret.mp4", root)
    assert "cannot be opened" in refusal("loop.mp4", root)


def test_the_root_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert parse_source("gate/clip.mp4").resolve(link).is_file()


def test_only_regular_files_are_opened(root: Path) -> None:
    os.mkfifo(root / "fifo.mp4")
    assert "is not a file" in refusal("fifo.mp4", root)
    assert "is not a file" in refusal("gate", root)


def test_a_name_too_long_for_the_file_system_is_an_error_like_others(root: Path) -> None:
    assert "cannot be opened" in refusal("x" * 1000 + ".mp4", root)


def test_credentials_do_not_show() -> None:
    source = parse_source("rtsp://admin:s3cret@cam.local:554/live?channel=1&password=s3cret&Token=abc#s3cret")
    assert (source.kind, source.live) == ("rtsp", True)
    assert "s3cret" in source.address
    assert source.redacted == "rtsp://***@cam.local:554/live?channel=1&password=***&Token=***"


def test_credentials_in_the_path_do_not_show_either() -> None:
    source = parse_source("rtsp://10.1.1.7:554/user=admin_password=s3cret_channel=1_stream=0.sdp?real_stream")
    assert (
        source.redacted == "rtsp://10.1.1.7:554/user=admin_password=***_channel=1_stream=0.sdp?real_stream="
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://relay/?src=rtsp://admin:s3cret@cam/x&n=1", "http://relay/?src=rtsp://***%40cam/x&n=1"),
        ("http://relay/?src=rtsp%3A%2F%2Fadmin%3As3cret%40cam", "http://relay/?src=rtsp://***%40cam"),
        ("http://relay/proxy/rtsp://admin:s3cret@cam/x", "http://relay/proxy/rtsp://***@cam/x"),
        ("http://relay/?to=http://cam/?token=s3cret", "http://relay/?to=http://cam/%3Ftoken%3D***"),
        ("http://cam/?channel=1;password=s3cret", "http://cam/?channel=1%3Bpassword%3D***"),
        ("http://cam/x;token=s3cret", "http://cam/x;token=***"),
    ],
)
def test_credentials_of_an_address_within_an_address_do_not_show(text: str, shown: str) -> None:
    assert parse_source(text).redacted == shown


def test_credentials_are_taken_out_of_any_text() -> None:
    text = "cannot open rtsp://a:s3cr@et@cam/x?token=s3cret&n=1 nor 'postgresql://va:s3cret@db:5432/x', see https://h/a@b"
    assert redact(text) == (
        "cannot open rtsp://***@cam/x?token=***&n=1 nor 'postgresql://***@db:5432/x', see https://h/a@b"
    )


def test_credentials_are_known_however_they_are_spelt() -> None:
    text = """?p%61ssword=s3cret&n=1;Token=s3c'ret {"url": "http://h/?sig=s3cret"} /password%3Ds3cret_x"""
    assert redact(text) == (
        """?p%61ssword=***&n=1;Token=*** {"url": "http://h/?sig=***"} /password%3D***_x"""
    )


@pytest.mark.parametrize(
    "text",
    ["&pass" * 16_000, "&" + "pass" * 16_000, "pass" * 16_000, "://" * 20_000, "://" + "a@" * 32_000],
    ids=["names", "a name", "a word", "logins", "a login"],
)
def test_no_text_takes_long_to_clean(text: str) -> None:
    begun = perf_counter()
    redact(text)
    assert perf_counter() - begun < 2


def test_only_opening_tells_whether_http_is_live() -> None:
    source = parse_source("HTTPS://example.org/a%20b.mp4?x=1")
    assert (source.kind, source.live) == ("http", None)
    assert parse_source("http://[::1]:8080/x").redacted == "http://[::1]:8080/x"


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "rtsp:cam.local/x",
        "http:///path",
        "http://h:port/x",
        "http://h:0/",
        "http://[::1/",
        "http://h/a b",
    ],
)
def test_a_malformed_address_is_refused(text: str) -> None:
    assert "the address" in refusal(text)


def test_a_test_pattern_is_recorded_unless_it_is_live() -> None:
    recorded = parse_source("test:testsrc2")
    assert (recorded.kind, recorded.live, recorded.frames) == ("test", False, 300)
    assert parse_source("test:smptebars?size=64x48&rate=5&duration=2.5").frames == 12
    live = parse_source("test:testsrc?live=true")
    assert (live.live, live.frames) == (True, None)
    assert live.address.endswith(",realtime")


@pytest.mark.parametrize(
    "text",
    [
        "test:", "test:movie", "test:movie=/etc/passwd", "test:testsrc,movie=x", "test:testsrc?size=1x1",
        "test:testsrc?size=99999x9", "test:testsrc?size=641x360", "test:testsrc?rate=0",
        "test:testsrc?rate=1e3", "test:testsrc?duration=-1", "test:testsrc?duration=nan",
        "test:testsrc?duration=999999", "test:testsrc?live=yes",
        "test:testsrc?file=x", "test:testsrc?rate=1&rate=2", "test:testsrc?rate=٣",
    ],
)  # fmt: skip
def test_a_test_pattern_takes_only_what_is_listed(text: str) -> None:
    assert "test pattern" in refusal(text)
