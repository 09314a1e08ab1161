"""The head of an RTSP reply, reduced to what every parser reads in the same way."""

import re


class RtspReply:
    """The head of a reply, parsed from `head`, the bytes before the empty line.

    `status` is 0 if the bytes are no RTSP reply. `body_length` is in bytes, -1 if the head declares it in
    more than one way. `location` is "" if there is none.
    """

    def __init__(self, head: bytes) -> None:
        text = head.decode("latin-1")
        status = re.match(r"RTSP/1\.\d (\d{3})\b", text, re.ASCII)
        headers = re.findall(r"^([A-Za-z][A-Za-z0-9-]*)[ \t]*:[ \t]*([ -~]*)", text, re.MULTILINE)
        lengths = {value for name, value in headers if name.lower() == "content-length"}
        locations = [value for name, value in headers if name.lower() == "location"]
        self.status = int(status[1]) if status else 0
        self.location = locations[0] if locations else ""
        self.body_length = 0
        if lengths:
            length = lengths.pop()
            self.body_length = int(length) if not lengths and re.fullmatch(r"\d{1,9}", length) else -1
        self.headers = [
            (name, value) for name, value in headers if name.lower() not in ("location", "content-length")
        ]

    def encode(self) -> bytes:
        """Return the head as the proxy sends it to FFmpeg, with the empty line."""
        headers = [*self.headers, ("Content-Length", str(self.body_length))]
        lines = [f"RTSP/1.0 {self.status} -", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1")
