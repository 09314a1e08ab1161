"""Parsing a scenario's source: what is accepted, what is rejected, and what is shown without credentials."""

import re
from uuid import UUID

import pytest

from app.domain.source import SourceError, footage_of, parse_aspect, parse_source


def rejection(text: str) -> str:
    """Return the message with which the source is rejected."""
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    return str(caught.value)


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
        ("rtsp://user%0d%0aX:y@host/live", "control"),
        ("rtsp://user:pass%00word@host/live", "control"),
        ("https://host/a%1Fb", "control"),
        ("http://host/a?name=%7f", "control"),
        ("http://host%0A/a", "control"),
        (".", "folder"),
        ("cam1:front.mp4", "'./name'"),
        ("C:/video.mp4", "'c:'"),
        ("rtsp//camera/stream", "write rtsp://"),
        ("HTTPS;//camera/stream", "write HTTPS://"),
        ("127.0.0.1:554/stream", "write rtsp:// or http:// before the host"),
        ("camera.local:8554/stream", "write rtsp:// or http:// before the host"),
        ("localhost:554", "write rtsp:// or http:// before the host"),
    ],
)
def test_a_path_outside_the_media_root_or_malformed_is_rejected(text: str, said: str) -> None:
    assert said in rejection(text)


@pytest.mark.parametrize(
    "text",
    [
        "concat:a.mp4|b.mp4", "file:/etc/passwd", "file:clip.mp4", "subfile:,,start,0,end,9,,:clip.mp4",
        "subfile,,start,0,end,9,,:clip.mp4",
        "data:video/mp4;base64,AAAA", "pipe:0", "fd:0", "ftp://host/x", "crypto:clip.mp4", "rtmp://host/x", "udp://@:1",
        "lavfi:testsrc", "CONCAT:x", "async:cache:file:/etc/passwd", "hls+file:/etc/passwd", "rtp://host:1",
    ],
)  # fmt: skip
def test_another_scheme_is_rejected_by_name_with_the_allowed_ones(text: str) -> None:
    message = rejection(text)
    assert repr(re.split("[:,]", text)[0].lower() + ":") in message
    assert "rtsp://" in message
    assert "test:" in message


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://us%0d%0aX-Evil:%201@cam/live", "rtsp://user:pw%0A@cam/live", "http://cam/live%00.mp4",
        "http://cam/live?name=a%7Fb", "https://cam%09/live", "rtsp://cam/live#%1b",
    ],
)  # fmt: skip
def test_an_encoded_control_character_is_rejected_in_any_part(text: str) -> None:
    assert "percent-encoded control characters" in rejection(text)


def test_credentials_are_redacted() -> None:
    source = parse_source("rtsp://admin:s3cret@cam.local:554/live?channel=1&password=s3cret&Token=abc#s3cret")
    assert (source.kind, source.live) == ("rtsp", True)
    assert "s3cret" in source.address
    assert source.redacted == "rtsp://***@cam.local:554/live?channel=1&password=***&Token=***"


def test_credentials_in_the_path_are_redacted() -> None:
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
def test_credentials_of_an_address_within_an_address_are_redacted(text: str, shown: str) -> None:
    assert parse_source(text).redacted == shown


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://admin:12/34@host/live",
        "rtsp://admin:12?34@host/live",
        "rtsp://admin:12#34@host/live",
        "rtsp://admin:pa/ss@host/live",
        "rtsps://admin:p@ss/w@host:322/live",
        "http://admin:12/34@host/live.m3u8",
    ],
)
def test_a_special_character_in_a_password_must_be_percent_encoded(text: str) -> None:
    error = rejection(text)
    assert "percent-encode" in error
    assert not any(part in error for part in ("12", "34", "admin", "pa/"))


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://ad/min@host/live",
        "RTSPS://ad/min@10.0.0.7",
        "rtsp://ad/min@cam.local:554",
        "rtsp://ad/m/in@host/live",
        "rtsp://ad#min@host/live",
        "rtsp://ad?min@host/live?channel=1",
    ],
)
def test_a_user_name_that_is_split_is_refused_too_and_not_shown(text: str) -> None:
    error = rejection(text)
    assert "percent-encode" in error
    assert "min" not in error


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://camera/@main/1",
        "rtsp://camera/live@main",
        "rtsp://camera.local/live@main/1",
        "rtsp://10.0.0.7/live@main/1",
        "rtsp://localhost/live@main/1",
        "rtsp://camera/live?user=a@b/c",
        "http://nas/photos/a@2x/clip.mp4",
        "https://example.org/@user/clip.mp4",
        "rtsp://admin:p@ss@host/live",
        "rtsp://admin:12%2F34@host/live",
        "http://relay:1984/api/stream.mp4?src=rtsp://admin:s3cret@cam/x",
    ],
)
def test_an_at_sign_may_stand_where_it_splits_no_password(text: str) -> None:
    assert parse_source(text).address == text


def test_a_scenario_is_named_by_its_id() -> None:
    number = "0198F1C2-6f0e-7b64-9d8e-0f6f0a1c2b3d"
    source = parse_source(f"Scenario:{number}")
    assert (source.kind, source.address, source.live) == ("scenario", number.lower(), False)
    assert source.redacted == f"scenario:{number.lower()}"
    assert footage_of(f"SCENARIO:{number}") == UUID(number)
    assert footage_of("scenario.mp4") is None
    assert "id of a scenario" in rejection("scenario:yard")


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
def test_a_malformed_address_is_rejected(text: str) -> None:
    assert "the address" in rejection(text)


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
def test_a_test_pattern_takes_only_the_listed_options(text: str) -> None:
    assert "test pattern" in rejection(text)


@pytest.mark.parametrize("name", ["./cam:1.mp4", "./rtsp:x.mp4", "a/cam:1.mp4"])
def test_a_file_with_a_colon_is_shown_as_it_can_be_given_again(name: str) -> None:
    source = parse_source(name)
    assert source.address == name.removeprefix("./")
    assert source.redacted == name
    assert parse_source(source.redacted) == source


@pytest.mark.parametrize(
    ("text", "aspect"), [("16:9", 16 / 9), ("4:3", 4 / 3), ("2.39:1", 2.39), ("9:16", 0.5625), ("20:1", 20)]
)
def test_a_display_aspect_is_width_by_height(text: str, aspect: float) -> None:
    assert parse_aspect(text) == pytest.approx(aspect)


@pytest.mark.parametrize(
    "text", ["", "16", "16/9", "16:9:1", "0:9", "16:0", "0.0:0.0", "-16:9", "1e3:1", "21:1", "1:21", "16:9\n"]
)
def test_another_display_aspect_is_rejected_with_what_to_write(text: str) -> None:
    with pytest.raises(SourceError, match="write width and height as in 16:9, from 1:20 to 20:1"):
        parse_aspect(text)
