"""Parse a scenario's `source`: a file below the media root, a stream, a test pattern, or a scenario."""

import re
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

from msgspec import Struct

from .redaction import names_a_secret, redact

PATTERNS = {
    "testsrc": "testsrc", "testsrc2": "testsrc2", "smptebars": "smptebars", "smptehdbars": "smptehdbars",
    "rgbtestsrc": "rgbtestsrc", "yuvtestsrc": "yuvtestsrc", "pal75bars": "pal75bars", "color": "color",
    "mandelbrot": "mandelbrot", "zoneplate": "zoneplate", "life": "life=seed=1:mold=10:ratio=0.3",
    "cellauto": "cellauto=seed=1", "sierpinski": "sierpinski=seed=1",
}  # fmt: skip
"""Test pattern → FFmpeg generator, seeded so that it gives the same pictures each time."""

DEFAULT_SECONDS = 10.0
_MAX_SECONDS = 24 * 3600.0
_MAX_ASPECT = 20
_ALLOWED_SOURCES = "a file below the media root, rtsp://, rtsps://, http://, https://, test: or scenario:"
# FFmpeg also accepts options after a scheme, as in "subfile,,start,0,…,,:".
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)(?:,[^/]*?)?:")
_ENCODED_CONTROL = re.compile(r"%(?:[01][0-9A-F]|7F)", re.IGNORECASE)
_SLIP = re.compile(r"((rtsps?|https?);?//)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(?:[\w-]+\.)+[\w-]+:\d{1,5}(?:/|$)|localhost:\d{1,5}(?:/|$)")

# After the host of a camera: the rest of a user name, "@", and what looks like the real host.
_REST_OF_USER = re.compile(r"[^/]@(?:[^/@?#]+/|\d+\.\d+\.\d+\.\d+|[^/@?#]*:\d+)")
_NESTED_LOGIN = re.compile(r"://[^\s/@]+@")  # of an address within an address


class SourceError(ValueError):
    """The source is malformed, missing or not allowed. The message says what to do."""


class Source(Struct, frozen=True):
    """A valid source.

    `address` is what is opened: a path relative to the media root, a URL, a generator's graph, which contains
    no text of the user, or a scenario's id. `live` is None if only opening the source tells (http).
    `redacted` is the source without credentials, for logs and messages. `frames` is the length of a recorded
    test pattern.
    `track` is the number of the video track that is read; None chooses it when the source is opened.
    `aspect` is width by height of the picture on a screen; None if the source tells it.
    """

    kind: Literal["file", "rtsp", "http", "test", "scenario"]
    address: str
    live: bool | None
    redacted: str
    frames: int | None = None
    track: int | None = None
    aspect: float | None = None


def parse_source(text: str) -> Source:
    """Return the source that a text describes, without access to disk or network. Raises SourceError."""
    if not text:
        raise SourceError(f"the source is empty: give {_ALLOWED_SOURCES}")
    if any(character < " " or character == "\x7f" for character in text):
        raise SourceError("the source contains control characters: remove them")
    if slip := _SLIP.match(text):
        raise SourceError(f"the address begins with {slip[1]!r}: write {slip[2]}://host:port/path")
    if _HOST_AND_PORT.match(text):
        raise SourceError(
            "the address has no scheme: write rtsp:// or http:// before the host (a file name with a colon is"
            " written './name')"
        )
    scheme = _SCHEME.match(text)
    match scheme[1].lower() if scheme else None:
        case None:
            return _parse_path(text)
        case "test":
            return _parse_test_pattern(text)
        case "scenario":
            return _parse_scenario(text)
        case "rtsp" | "rtsps":
            return _parse_url("rtsp", text, live=True)
        case "http" | "https":
            return _parse_url("http", text, live=None)
        case other:
            raise SourceError(
                f"sources with the scheme {other + ':'!r} are not allowed: give {_ALLOWED_SOURCES}"
                " (a file name with a colon is written './name')"
            )


def parse_aspect(text: str) -> float:
    """Return width divided by height of a display aspect, as in `16:9`. Raises SourceError."""
    found = re.fullmatch(r"([0-9]{1,5}(?:\.[0-9]{1,5})?):([0-9]{1,5}(?:\.[0-9]{1,5})?)", text)
    width, height = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not (height and 1 / _MAX_ASPECT <= width / height <= _MAX_ASPECT):
        raise SourceError(
            "`aspect` is no display aspect: write width and height as in 16:9, from 1:20 to 20:1"
        )
    return width / height


def footage_of(text: str) -> UUID | None:
    """Return the scenario whose footage a source is, or None if it is of another kind.

    Raises SourceError if what should be the id of a scenario is none.
    """
    return UUID(_parse_scenario(text).address) if text.lower().startswith("scenario:") else None


def contains_control_characters(address: str) -> bool:
    """Return whether a percent-decoded part of an address would contain control characters."""
    return _ENCODED_CONTROL.search(address) is not None


def _parse_path(text: str) -> Source:
    if "\\" in text:
        raise SourceError("the path contains a backslash: separate folders by '/'")
    path = PurePosixPath(text)
    if path.is_absolute():
        raise SourceError("the path is absolute: give it relative to the media root")
    if ".." in path.parts:
        raise SourceError("the path contains '..': give a path below the media root")
    if not path.parts:
        raise SourceError("the path names a folder: name a video file below the media root")
    # Without "./", a name with a colon would be taken for a scheme if it were given again.
    shown = f"./{path}" if _SCHEME.match(str(path)) else str(path)
    return Source("file", str(path), live=False, redacted=shown)


def _parse_url(kind: Literal["rtsp", "http"], text: str, *, live: bool | None) -> Source:
    if _splits_a_login(text):
        raise SourceError(
            "the address has an '@' after the host: percent-encode special characters in the user name and"
            " password ('/' is %2F, '#' is %23, '?' is %3F, '@' is %40), and write an '@' in a path as %40"
        )
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise SourceError("the address is malformed: write it as scheme://host:port/path") from None
    if not text[len(parts.scheme) :].startswith("://") or not host or port == 0:
        raise SourceError("the address names no host: write it as scheme://host:port/path")
    if " " in text:
        raise SourceError("the address contains a space: write it as %20")
    if contains_control_characters(text):
        raise SourceError("the address contains percent-encoded control characters, such as %0D: remove them")
    netloc = parts.netloc.rpartition("@")
    # A proxy may take the address of a camera as a parameter.
    query = [
        (name, "***" if names_a_secret(name) else redact(value))
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    redacted = parts._replace(
        netloc=("***@" if netloc[1] else "") + netloc[2],
        path=redact(parts.path),
        query=urlencode(query, safe="*/:,"),
        fragment="",
    ).geturl()
    return Source(kind, text, live=live, redacted=redacted)


def _splits_a_login(text: str) -> bool:
    """Return whether a '/', '?' or '#' of a login seems to end the host, as in `rtsp://admin:12/34@host`.

    A user name without a password is told only in an address of a camera, if it is no name with dots.
    """
    scheme, _, address = text.partition("://")
    host = re.split(r"[/?#]", address, maxsplit=1)[0]
    rest = _NESTED_LOGIN.sub("", address[len(host) :])
    if "@" in host or ":" in host:
        return "@" in rest
    is_name = re.fullmatch(r"[\w-]+", host) is not None and host.lower() != "localhost"
    if scheme.lower() not in ("rtsp", "rtsps") or not is_name:
        return False
    if rest.startswith("/"):  # else a part of a user name has ended the host
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    return _REST_OF_USER.search(rest) is not None


def _parse_test_pattern(text: str) -> Source:
    """Parse `test:<pattern>?size=1280x720&rate=30&duration=10&live=true`; all options may be left out."""
    name, _, query = text.partition(":")[2].partition("?")
    if name not in PATTERNS:
        raise SourceError(f"there is no test pattern {name[:50]!r}: choose from {', '.join(PATTERNS)}")
    options = parse_qsl(query, keep_blank_values=True)
    given = dict(options)
    unknown = set(given) - {"size", "rate", "duration", "live"}
    if unknown or len(options) != len(given):
        raise SourceError("a test pattern takes size, rate, duration and live, each once")
    width, height = _parse_size(given.get("size", "1280x720"))
    rate = _parse_number("rate", given.get("rate", "30"), 1, 240, whole=True)
    live = given.get("live", "false")
    if live not in ("true", "false"):
        raise SourceError("the test pattern's live must be true or false")
    seconds = None
    if "duration" in given or live == "false":
        seconds = _parse_number("duration", given.get("duration", str(DEFAULT_SECONDS)), 0.01, _MAX_SECONDS)
    frames = None if seconds is None else max(1, round(seconds * rate))
    generator = PATTERNS[name]
    graph = (
        f"{generator}{':' if '=' in generator else '='}size={width}x{height}:rate={rate:.0f},format=yuv420p"
    )
    if frames is not None:
        graph += f",trim=end_frame={frames}"
    if live == "true":
        return Source("test", f"{graph},realtime", live=True, redacted=text)
    return Source("test", graph, live=False, redacted=text, frames=frames)


def _parse_scenario(text: str) -> Source:
    given = text.partition(":")[2]
    try:
        address = str(UUID(given))
    except ValueError:
        raise SourceError(
            f"{given[:50]!r} is no id of a scenario: write scenario: and the `id` that GET /scenarios shows"
        ) from None
    return Source("scenario", address, live=False, redacted=f"scenario:{address}")


def _parse_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{2,4})x([0-9]{2,4})", text)
    width, height = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (16 <= width <= 3840 and 16 <= height <= 2160) or width % 2 or height % 2:
        raise SourceError(
            "the test pattern's size must be even numbers from 16x16 to 3840x2160, as in 1280x720"
        )
    return width, height


def _parse_number(name: str, text: str, least: float, most: float, *, whole: bool = False) -> float:
    pattern = r"[0-9]{1,9}" if whole else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    value = float(text) if re.fullmatch(pattern, text) else -1.0
    if not least <= value <= most:
        kind = "a whole number" if whole else "a number"
        raise SourceError(f"the test pattern's {name} must be {kind} from {least:g} to {most:g}")
    return value
