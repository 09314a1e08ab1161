"""Logs: no secret appears in a line, whichever library writes it."""

import logging
import re
from collections.abc import Iterator
from io import StringIO

import pytest
import structlog

from app import logs
from app.settings import Settings

SECRETS = ("an api key 'of mine'", "p%40zzw%20rd", "short")


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    for name in ("aiokafka.conn", "httpx"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "said",
    [
        "an api key 'of mine'",
        repr("an api key 'of mine' and more"),
        "p@zzw rd",
        "p%40zzw%20rd",
        "opening rtsp://admin:s3cret@camera/?token=s3cret",
        "user=admin_password=s3cret_channel=1",
        b"\0admin\0p@zzw rd",
    ],
)
def test_secrets_show_in_no_line(
    restored: None, capsys: pytest.CaptureFixture[str], form: str, said: object
) -> None:
    logs.configure(form, "debug", SECRETS)  # type: ignore[arg-type]
    structlog.get_logger("here").info("said", what=said, many=[said], inside={"a": said})
    logging.getLogger("library").warning("said %r and %s", said, said)
    try:
        raise ValueError(said)
    except ValueError:
        structlog.get_logger("here").exception("failed")
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) >= 3
    for secret in ("of mine", "zzw", "s3cret"):
        assert secret not in shown
    assert "***" in shown


def test_a_short_secret_does_not_mask_words(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("text", "info", SECRETS)
    structlog.get_logger("here").info("shortly")
    assert "shortly" in capsys.readouterr().err


def test_settings_list_their_secrets() -> None:
    settings = Settings(
        api_keys=("a-long-secret-key",),
        kafka_password="sesame",
        scenarios_dsn="postgresql://va:p%40ss:w@db/x",
        predictions_dsn="postgresql:///x?user=va&password=other",
    )
    assert sorted(settings.secrets()) == ["a-long-secret-key", "other", "p%40ss:w", "sesame"]
    assert Settings().secrets() == []


@pytest.mark.parametrize(("level", "lines"), [("info", 0), ("debug", 1)])
def test_requests_to_servers_and_receivers_are_logged_only_at_debug(
    restored: None, capsys: pytest.CaptureFixture[str], level: str, lines: int
) -> None:
    logs.configure("text", level, ())
    logging.getLogger("httpx").info("HTTP Request: POST http://example.org/hook")
    assert len(capsys.readouterr().err.splitlines()) == lines


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_value_that_cannot_be_shown_does_not_stop_the_code_that_logs_it(
    restored: None, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    class Unprintable:
        def __str__(self) -> str:
            raise ZeroDivisionError

        __repr__ = __str__

    logs.configure(form, "info", SECRETS)  # type: ignore[arg-type]
    structlog.get_logger("here").info("what of mine happened", value=Unprintable())
    structlog.get_logger("here").debug("not shown")
    (line,) = capsys.readouterr().err.splitlines()
    assert "what of mine happened" in line
    assert "ZeroDivisionError" in line


@pytest.mark.parametrize("form", ["text", "json"])
def test_lines_of_the_service_and_of_libraries_look_alike(
    restored: None, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    logs.configure(form, "info")  # type: ignore[arg-type]
    structlog.get_logger("somewhere").warning("it happened")
    logging.getLogger("somewhere").warning("it happened")
    first, second = (re.sub(r"[-0-9:.]+Z", "", line) for line in capsys.readouterr().err.splitlines())
    assert first == second


def test_nobody_needs_to_read_the_lines(restored: None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    logs.configure("text", "info")
    stream.close()
    structlog.get_logger("here").info("it happened")
