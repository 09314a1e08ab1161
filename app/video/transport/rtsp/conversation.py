"""What the proxy tells the camera for FFmpeg's requests, and FFmpeg for the camera's replies. No I/O."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ....domain.source import SourceError, parse_source
from ...errors import VideoError, rtsp_status_error, unsupported_login_error
from ..login import Login, parse_challenges
from .addresses import CameraAddresses
from .messages import RtspReply, RtspRequest, encode_reply, encode_request


class _Request(Struct, frozen=True):
    """A request that the camera has not answered yet; FFmpeg's own `number`, None if the proxy made it."""

    method: str
    uri: str
    headers: list[tuple[str, str]]
    body: bytes
    number: int | None
    is_authorized: bool = False
    is_repeated: bool = False


class Conversation:
    """The requests and replies over one connection to a camera.

    `login` is None if the address has no user name. `is_playing` after PLAY was answered with success.
    `redirect` is where the camera redirected to.
    """

    def __init__(self, addresses: CameraAddresses, local: str, name: str, login: Login | None) -> None:
        self.is_playing = False
        self.redirect: str | None = None
        self._addresses = addresses
        self._local = local
        self._name = name
        self._login = login
        self._has_logged_in = False
        self._number = 0
        self._pending: dict[int, _Request] = {}

    @property
    def is_waiting(self) -> bool:
        """Whether the camera owes an answer without which the video cannot play."""
        owed = any(request.method != "TEARDOWN" for request in self._pending.values())
        return owed and not self.is_playing

    def ask(self, request: RtspRequest, body: bytes) -> bytes:
        """Return what the camera is sent for a request of FFmpeg."""
        uri = self._addresses.translate(request.uri)
        headers = request.without("cseq", "authorization")
        sent = self._send(_Request(request.method, uri, headers, body, request.number))
        if self.is_playing and request.method == "GET_PARAMETER":
            # Some cameras count only OPTIONS as a sign of life.
            headers = request.without("cseq", "authorization", "content-type", "content-length")
            sent += self._send(_Request("OPTIONS", uri, headers, b"", None))
        return sent

    def answer(self, reply: RtspReply, body: bytes) -> tuple[bytes, bytes]:
        """Return what the camera is sent for its reply, and what FFmpeg is sent.

        Raises:
            VideoError: the camera refuses, or redirects to an address that is not allowed.
        """
        if 300 <= reply.status < 400 and not self.is_playing:
            return b"", self._encode(reply, None, body, [("Location", self._follow(reply.location))])
        request = self._pending.pop(self._asked_by(reply), None)
        if request is None or reply.status < 200:
            return b"", b""
        if reply.status == 401 and (again := self._authorize(request, reply)):
            return again, b""
        if reply.status >= 400 and not self.is_playing and request.method != "TEARDOWN":
            raise rtsp_status_error(reply.status, self._name)
        if request.number is None:
            return b"", b""
        if reply.status < 300:
            self._has_logged_in = self._has_logged_in or request.is_authorized
            self.is_playing = self.is_playing or request.method == "PLAY"
            if request.method == "DESCRIBE":
                bases = reply.values("content-base") + reply.values("content-location")
                body = self._addresses.describe(bases, body)
        return b"", self._encode(reply, request.number, body)

    def _send(self, request: _Request) -> bytes:
        self._number += 1
        headers = [("CSeq", str(self._number)), *request.headers]
        authorization = self._login and self._login.authorize(request.method, request.uri)
        if authorization:
            headers.append(("Authorization", authorization))
        self._pending[self._number] = replace(request, is_authorized=authorization is not None)
        return encode_request(request.method, request.uri, headers, request.body)

    def _asked_by(self, reply: RtspReply) -> int:
        """Return the number of the request that a reply belongs to: some cameras get the number wrong."""
        if reply.number in self._pending and reply.number is not None:
            return reply.number
        return min(self._pending, default=0)

    def _authorize(self, request: _Request, reply: RtspReply) -> bytes:
        """Return the request again with an answer to the camera's challenge; b"" if that cannot help.

        A wrong password is sent only once, because cameras lock addresses out that try more often.

        Raises:
            VideoError: no challenge is of a supported kind.
        """
        challenges = parse_challenges(reply.values("www-authenticate"))
        if self._login is None or not challenges:
            return b""
        is_stale = any(each.parameters.get("stale", "").lower() == "true" for each in challenges)
        has_expired = is_stale or self._has_logged_in
        if request.is_repeated or (request.is_authorized and not has_expired):
            return b""
        if not self._login.take(challenges):
            raise unsupported_login_error(self._name, sorted({str(each) for each in challenges}))
        return self._send(replace(request, is_repeated=request.is_authorized))

    def _encode(
        self, reply: RtspReply, number: int | None, body: bytes, extra: Sequence[tuple[str, str]] = ()
    ) -> bytes:
        headers = reply.without(
            "cseq", "content-length", "location", "content-base", "content-location", "www-authenticate"
        )
        numbered = [] if number is None else [("CSeq", str(number))]
        return encode_reply(reply.status, [*numbered, *headers, *extra], body)

    def _follow(self, location: str) -> str:
        """Remember where a redirect leads, and return this proxy's address for it."""
        try:
            source = parse_source(location)
        except SourceError:
            source = None
        if source is None or source.kind != "rtsp":
            raise VideoError(
                f"{self._name} redirects to an address that is not rtsp: or rtsps:", retryable=False
            )
        self.redirect = location
        return self._local
