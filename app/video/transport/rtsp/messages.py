"""The heads of RTSP requests and replies, reduced to what every parser reads in the same way."""

import re

_HEADERS = re.compile(r"^([A-Za-z][A-Za-z0-9-]*)[ \t]*:[ \t]*([ -~]*)", re.MULTILINE)


class RtspHead:
    """The headers of a request or reply, parsed from `head`, the bytes before the empty line.

    `body_length` is in bytes, -1 if the head declares it in more than one way.
    """

    def __init__(self, head: bytes) -> None:
        self.text = head.decode("latin-1")
        self.headers: list[tuple[str, str]] = _HEADERS.findall(self.text)
        lengths = set(self.values("content-length"))
        self.body_length = 0
        if lengths:
            length = lengths.pop()
            self.body_length = int(length) if not lengths and re.fullmatch(r"\d{1,9}", length) else -1
        number = self.values("cseq")
        self.number = int(number[0]) if number and re.fullmatch(r"\d{1,9}", number[0]) else None

    def values(self, name: str) -> list[str]:
        """Return the values of the headers with this name, which is given in lower case."""
        return [value for known, value in self.headers if known.lower() == name]

    def without(self, *names: str) -> list[tuple[str, str]]:
        """Return the headers that have none of these names, which are given in lower case."""
        return [(name, value) for name, value in self.headers if name.lower() not in names]


class RtspRequest(RtspHead):
    """The head of a request. `method` is "" if the bytes are none."""

    def __init__(self, head: bytes) -> None:
        super().__init__(head)
        line = re.match(r"([A-Z_]+) (\S+) RTSP/1\.\d", self.text, re.ASCII)
        self.method, self.uri = (line[1], line[2]) if line else ("", "")


class RtspReply(RtspHead):
    """The head of a reply. `status` is 0 if the bytes are none. `location` is "" if there is none."""

    def __init__(self, head: bytes) -> None:
        super().__init__(head)
        status = re.match(r"RTSP/1\.\d (\d{3})\b", self.text, re.ASCII)
        self.status = int(status[1]) if status else 0
        self.location = (self.values("location") or [""])[0]


def encode_request(method: str, uri: str, headers: list[tuple[str, str]], body: bytes = b"") -> bytes:
    """Return a request as the proxy sends it to the camera."""
    return _encode(f"{method} {uri} RTSP/1.0", headers) + body


def encode_reply(status: int, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """Return a reply as the proxy sends it to FFmpeg."""
    return _encode(f"RTSP/1.0 {status} -", [*headers, ("Content-Length", str(len(body)))]) + body


def _encode(line: str, headers: list[tuple[str, str]]) -> bytes:
    lines = [line, *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace")
