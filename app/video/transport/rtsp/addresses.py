"""The addresses of a camera's video and its tracks, and what stands for them at the proxy.

FFmpeg writes the proxy's address into its requests, which cameras reject that compare it with their own. It
also joins the parts of an address in ways that cameras do not expect.
"""

import re
from string import punctuation
from urllib.parse import quote, urlsplit

_ADDRESS = re.compile(r"rtsps?://", re.IGNORECASE)
_REPEATED = re.compile(r"rtsps?://rtsps?://", re.IGNORECASE)
_ZONE = re.compile(r"%[^\]]*\]")  # of an IPv6 address, which has a meaning on this machine only
_VALID = re.compile(r"rtsps?://[^/\s]+(/\S*)?", re.IGNORECASE)


class CameraAddresses:
    """Translates between the addresses that FFmpeg uses and those of the camera.

    `video` is the camera's address of all tracks, without a log-in. `local` is the proxy's address for it,
    which ends in "/".
    """

    def __init__(self, video: str, local: str) -> None:
        self.video = video
        self._local = local
        self._tracks: dict[str, str] = {}

    def translate(self, uri: str) -> str:
        """Return the camera's address for one that FFmpeg requests."""
        return self._tracks.get(uri, self.video)

    def describe(self, bases: list[str], description: bytes) -> bytes:
        """Learn the addresses of the tracks from an SDP description; return it with those of the proxy.

        `bases` are the values of Content-Base and Content-Location, the first of which that is valid counts.
        """
        base = next(filter(None, map(_repair, bases)), self.video)
        self.video = base
        lines: list[bytes] = []
        is_media = has_address = False
        for line in description.split(b"\n"):
            if line.startswith(b"m="):
                is_media, has_address = True, False
            if not line.startswith(b"a=control:"):
                lines.append(line)
                continue
            address = _join(base, "".join(line[10:].decode("latin-1").split()))
            if not is_media:
                self.video = address
            elif not has_address:
                has_address = True
                track = f"{self._local}{len(self._tracks)}"
                self._tracks[track] = address
                lines.append(f"a=control:{track}\r".encode())
        return b"\n".join(lines)


def without_login(address: str) -> str:
    """Return an address as requests contain it: without its user name and password, and in ASCII."""
    parts = urlsplit(address)
    path, query = quote(parts.path, safe=punctuation), quote(parts.query, safe=punctuation)
    netloc = _ZONE.sub("]", parts.netloc.rpartition("@")[2])
    return parts._replace(netloc=netloc, path=path, query=query, fragment="").geturl()


def _repair(base: str) -> str:
    """Return the base address that is meant, without a repeated `rtsp://`; "" if it is none."""
    while _REPEATED.match(base):
        base = base.partition("://")[2]
    return base if _VALID.fullmatch(base) else ""


def _join(base: str, control: str) -> str:
    """Return the address for the value of a `control` attribute."""
    if control in ("", "*"):
        return base
    if _ADDRESS.match(control):
        return control
    # Cameras mean this and not what the standard says, which would replace the last part of the base.
    return f"{base.rstrip('/')}/{control.lstrip('/')}"
