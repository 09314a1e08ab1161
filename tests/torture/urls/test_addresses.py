"""Addresses that smuggle lines into requests, and addresses whose secrets must not be shown.

The verifiers are a server that keeps what it receives, and the secrets themselves. Each guard is also taken
out, to see that the same verifier notices.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from threading import Event

import pytest

from app.domain import redaction, source
from app.domain.networks import Networks
from app.domain.source import SourceError, parse_source
from app.video.errors import VideoError
from app.video.open import open_video
from app.video.transport import http_client
from tests.support.hostile_servers import HERE, RTSP_OK, listening, page
from tests.torture.battery import Battery

ROW = 9
LINE = b"X-Smuggled: yes"
CONTROLS = ("%0d%0aX-Smuggled%3A%20yes", "%0AX-Smuggled%3A%20yes", "%00", "%1b", "%7F")
PLACES = (
    "{scheme}://us{control}er:word@{place}/live", "{scheme}://user:wo{control}rd@{place}/live",
    "{scheme}://{place}{control}/live", "{scheme}://{place}/li{control}ve",
    "{scheme}://{place}/live?na{control}me=1", "{scheme}://{place}/live#{control}",
)  # fmt: skip
_CHALLENGE = 'Digest realm="camera", nonce="1"'


@contextmanager
def camera(scheme: str) -> Iterator[tuple[str, list[bytes]]]:
    """A server that asks for a log-in. Yields its host and port, and the requests that it gets."""
    requests: list[bytes] = []

    def answer(request: bytes) -> bytes:
        requests.append(request)
        if scheme == "http":
            return page(b"", "401 Unauthorized", WWW_Authenticate=_CHALLENGE)
        number = request.partition(b"CSeq: ")[2].partition(b"\r\n")[0]
        if b"DESCRIBE" not in request:
            return RTSP_OK.replace(b"CSEQ", b"CSeq: " + number) + b"\r\n"
        head = b"RTSP/1.0 401 Unauthorized\r\nCSeq: %b\r\nWWW-Authenticate: " % number
        return head + _CHALLENGE.encode() + b"\r\n\r\n"

    with listening(answer) as port:
        yield f"{HERE}:{port}", requests


def open_source(text: str) -> None:
    """Open an address, which never succeeds."""
    with (
        pytest.raises((SourceError, VideoError)),
        open_video(parse_source(text), Path(), Networks(HERE), stop=Event(), open_timeout=1, read_timeout=1),
    ):
        pass


@pytest.mark.timeout(120)
@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_no_address_smuggles_a_line_into_a_request(battery: Battery, scheme: str) -> None:
    sources = list(product(PLACES, CONTROLS))
    with camera(scheme) as (place, requests):
        for form, control in sources:
            open_source(form.format(scheme=scheme, place=place, control=control))
        assert requests == []
        open_source(f"{scheme}://user:word@{place}/live")
        assert b'username="user"' in requests[-1]
    what = f"encoded control characters in each part of an address ({scheme})"
    battery.passed(ROW, what, f"{len(sources)} sources", "0 accepted")


@pytest.mark.timeout(120)
def test_a_smuggled_line_would_be_noticed(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (source, http_client):
        monkeypatch.setattr(module, "contains_control_characters", lambda _: False)
    with camera("rtsp") as (place, requests):
        open_source(PLACES[0].format(scheme="rtsp", place=place, control=CONTROLS[0]))
        lines = [line for request in requests for line in request.split(b"\r\n")]
    smuggled = sum(line.startswith(LINE) for line in lines)
    assert smuggled
    battery.unguarded(ROW, "refusing control characters", "1 source", f"{smuggled} line smuggled")


SECRETS = (
    "rtsp://admin:{secret}@{place}/live", "rtsp://{secret}@{place}/live", "http://{place}/live?pwd={secret}",
    "http://{place}/live?user_pin={secret}&channel=1", "http://{place}/live;jwt={secret}",
    "http://{place}/live?a=1#sid={secret}", "http://{place}/live?ticket={secret}",
    "http://{place}/live?acc%65ss_tok%65n={secret}", "http://{place}/live?accessToken={secret}",
    "http://{place}/proxy?to=rtsp://admin:{secret}@192.0.2.7/live",
    "rtsp://{place}/user=admin_password={secret}_channel=1", "http://{place}/live/token={secret}/1.ts",
    "http://{place}/live/api_key={secret}", "http://{place}/live/session_id={secret}&auth={secret}",
)  # fmt: skip


def count_shown() -> int:
    """Return in how many of the addresses the secret is shown, in the API's form or in a message."""
    shown = 0
    for form in SECRETS:
        text = form.format(place="camera.local", secret="s3cret-word")
        told = redaction.redact(f"cannot open {text}: refused")
        shown += "s3cret-word" in parse_source(text).redacted + told
    return shown


def test_no_secret_of_an_address_is_shown(battery: Battery) -> None:
    assert count_shown() == 0
    battery.passed(ROW, "secrets in addresses", f"{len(SECRETS)} sources", "0 shown")


def test_secrets_that_are_shown_would_be_noticed(battery: Battery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "redact", lambda text: text)
    monkeypatch.setattr(source, "redact", lambda text: text)
    monkeypatch.setattr(source, "names_a_secret", lambda _: False)
    shown = count_shown()
    assert shown == len(SECRETS)
    battery.unguarded(ROW, "redaction", f"{len(SECRETS)} sources", f"{shown} shown")
