"""Redaction: no text keeps its credentials, however they are written."""

import re
from time import perf_counter

import pytest

from app.domain.redaction import redact
from tests.support.paths import ROOT


def test_credentials_are_removed_from_any_text() -> None:
    text = "cannot open rtsp://a:s3cr@et@cam/x?token=s3cret&n=1 nor 'postgresql://va:s3cret@db:5432/x', see https://h/a@b"
    assert redact(text) == (
        "cannot open rtsp://***@cam/x?token=***&n=1 nor 'postgresql://***@db:5432/x', see https://h/a@b"
    )


def test_credentials_are_found_in_every_encoding() -> None:
    text = """?p%61ssword=s3cret&n=1;Token=s3c'ret {"url": "http://h/?sig=s3cret"} /password%3Ds3cret_x"""
    assert redact(text) == (
        """?p%61ssword=***&n=1;Token=*** {"url": "http://h/?sig=***"} /password%3D***_x"""
    )


@pytest.mark.parametrize(
    "name",
    [
        "pass", "pw", "token", "api_key", "auth", "secret", "sig", "X-Amz-Signature", "user", "login",
        "session", "credential", "pin", "user_pin", "userPin", "code", "accessCode", "jwt", "sid",
        "PHPSESSID", "ticket", "otp", "bearer", "hmac", "pincode", "p%69n",
    ],
)  # fmt: skip
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert redact(f"http://cam/live?n=1&{name}=s3cret&m=2").endswith(f"{name}=***&m=2")


@pytest.mark.parametrize("name", ["codec", "encode", "spinning", "side", "pinned", "residence"])
def test_what_only_contains_a_short_word_is_shown(name: str) -> None:
    text = f"http://cam/live?{name}=shown"
    assert redact(text) == text


@pytest.mark.parametrize(
    "name", ["token", "access_token", "key", "sid", "jwt", "ticket", "pin", "code", "sig"]
)
def test_a_secret_in_a_path_is_known_by_its_name(name: str) -> None:
    assert redact(f"http://cam/live/{name}=s3_cret.x-y/1.ts") == f"http://cam/live/{name}=***/1.ts"


@pytest.mark.parametrize(
    "text", ["pa\u017f\u017fword=s3cret", "a=1/to\u212aen=s3cret/1.ts", "a=1;AUTH=s3cret"]
)
def test_letters_that_count_as_others_hide_no_secret(text: str) -> None:
    assert "s3cret" not in redact(f"http://cam/live/{text}")


def listed(beginning: str) -> tuple[str, ...]:
    """Return what stands in backticks in the paragraph of SECURITY.md that begins so."""
    page = (ROOT / "SECURITY.md").read_text()
    (found,) = re.findall(
        rf"^ +(?:- )?{re.escape(beginning)}(.+?)(?:\n  - |\n\n)", page, re.DOTALL | re.MULTILINE
    )
    return tuple(re.findall(r"`([^`]+)`", found))


def test_every_name_that_the_page_lists_is_recognised() -> None:
    marks, names = "?&;#", [name for name in listed("- query parameters") if len(name) > 1]
    assert len(names) > 20
    for mark in marks:
        for name in names:
            word = "myPin" if name == "userPin" else name
            capitals = (word.upper(),) if word.islower() else ()  # which tell where a word begins
            for spelling in (word, *capitals, f"%{ord(word[0]):02x}{word[1:]}"):
                assert "s3cret" not in redact(f"http://cam/live{mark}{spelling}=s3cret"), (mark, spelling)
    in_path = listed("- in a path, ")
    assert "otp=" in in_path
    prefixes = ("", *(name for name in in_path if name.endswith("_")))
    for name in in_path:
        if not name.endswith("="):
            continue
        word = name.rstrip("=").replace("…", "word")
        for prefix in () if word.startswith("p") and word != "pin" else prefixes:
            for before in ("/", "_", ";", ","):
                text = f"http://cam/live/x{before}{prefix}{word.upper()}=s3cret/1.ts"
                assert "s3cret" not in redact(text), text
        assert "s3cret" not in redact(f"http://cam/live/{word}=s3cret/1.ts"), word


def test_what_the_page_says_is_not_recognised_is_not() -> None:
    (path, *_) = listed("**Not recognised:**")
    assert redact(f"rtsp://cam{path}") == f"rtsp://cam{path}"
    assert "s3cret" in redact("http://cam/live?favourite=s3cret")


def test_a_line_of_a_log_keeps_its_fields() -> None:
    text = "request  code=404 key=frames token count: 3"
    assert redact(text) == text


def test_a_password_with_a_slash_is_removed() -> None:
    text = "cannot open 'rtsp://admin:12/3?4#5@cam/x', see http://relay/rtsp://admin:12/34@cam/x"
    assert redact(text) == "cannot open 'rtsp://***@cam/x', see http://relay/rtsp://***@cam/x"


@pytest.mark.parametrize(
    "text",
    [
        "&pass" * 16_000,
        "&" + "pass" * 16_000,
        "pass" * 16_000,
        "://" * 20_000,
        "://" + "a@" * 32_000,
        "://a:" * 16_000,
        "/token" * 16_000,
        "/access_" * 10_000,
        "_pin=" * 16_000,
        "/" + "_" * 64_000,
        "&" + "userPi" * 10_000,
    ],
    ids=[
        "names",
        "a name",
        "a word",
        "logins",
        "a login",
        "ports",
        "paths",
        "prefixes",
        "pins",
        "lines",
        "a long name",
    ],
)
def test_redaction_takes_linear_time(text: str) -> None:
    started = perf_counter()
    redact(text)
    assert perf_counter() - started < 2
