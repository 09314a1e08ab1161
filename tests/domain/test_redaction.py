"""Redaction: no text keeps its credentials, however they are written."""

from time import perf_counter

import pytest

from app.domain.redaction import redact


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
    "text",
    ["&pass" * 16_000, "&" + "pass" * 16_000, "pass" * 16_000, "://" * 20_000, "://" + "a@" * 32_000],
    ids=["names", "a name", "a word", "logins", "a login"],
)
def test_redaction_takes_linear_time(text: str) -> None:
    started = perf_counter()
    redact(text)
    assert perf_counter() - started < 2
