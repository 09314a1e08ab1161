"""Answer the log-in challenges of HTTP and RTSP servers: Basic, and Digest with MD5 or SHA-256."""

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

from msgspec import Struct

_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][\w-]*)(?=\s+[\w-]+\s*=|\s*,|\s*$)")
_PARAMETER = re.compile(r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')
_HASHES = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}  # the strongest first


class Challenge(Struct, frozen=True):
    """What a server asks for in a WWW-Authenticate header. Names of parameters are in lower case."""

    scheme: str
    parameters: dict[str, str]

    @property
    def algorithm(self) -> str:
        """The hash and how it is used, as in `SHA-256-SESS`."""
        return self.parameters.get("algorithm", "MD5").upper()

    @property
    def strength(self) -> int:
        """How good the log-in is that it asks for, 0 if it is not supported."""
        if self.scheme == "basic":
            return 1
        if self.scheme != "digest" or self.protection is None:
            return 0
        return {"MD5": 2, "SHA-256": 3}.get(self.algorithm.removesuffix("-SESS"), 0)

    @property
    def protection(self) -> str | None:
        """How much of a request the answer protects: `auth`, `auth-int`, "" as before RFC 2617; else None."""
        offered = re.split(r"[\s,]+", self.parameters.get("qop", "").strip().lower())
        return next((each for each in ("auth", "auth-int", "") if each in offered), None)

    def __str__(self) -> str:
        """What a user may know it by, as in `Digest SHA-512-256`."""
        if self.scheme != "digest":
            return self.scheme.capitalize()
        odd = f" with qop {self.parameters['qop']}" if self.protection is None else ""
        return f"Digest {self.algorithm}{odd}"


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Return the challenges in the values of WWW-Authenticate headers."""
    return [challenge for header in headers for challenge in _parse(header)]


def _parse(header: str) -> Iterator[Challenge]:
    schemes = list(_SCHEME.finditer(header))
    ends = [following.start() for following in schemes[1:]] + [len(header)]
    for scheme, end in zip(schemes, ends, strict=True):
        found = _PARAMETER.findall(header, scheme.end(), end)
        parameters = {name.lower(): re.sub(r"\\(.)", r"\1", quoted) or token for name, quoted, token in found}
        yield Challenge(scheme[1].lower(), parameters)


class Login:
    """A user name and password, and the challenge that they answer. Not thread safe."""

    def __init__(self, userinfo: str) -> None:
        """Take `user:password` as an address contains it, percent-encoded."""
        user, _, password = userinfo.partition(":")
        self._user, self._password = unquote(user), unquote(password)
        self._challenge: Challenge | None = None
        self._uses = 0  # of the challenge

    def take(self, challenges: Iterable[Challenge]) -> bool:
        """Answer the best of these challenges from now on. Returns False if none is supported."""
        best = max(challenges, key=lambda challenge: challenge.strength, default=None)
        if best is None or not best.strength:
            return False
        self._challenge, self._uses = best, 0
        return True

    def authorize(self, method: str, uri: str) -> str | None:
        """Return the Authorization header for a request without a body, None before a challenge was taken."""
        challenge = self._challenge
        if challenge is None:
            return None
        if challenge.scheme == "basic":
            return "Basic " + b64encode(f"{self._user}:{self._password}".encode()).decode()
        self._uses += 1
        return self._digest(challenge, method, uri)

    def _digest(self, challenge: Challenge, method: str, uri: str) -> str:
        given = challenge.parameters
        digest = _digest_of(_HASHES[challenge.algorithm.removesuffix("-SESS")])
        realm, nonce = given.get("realm", ""), given.get("nonce", "")
        client_nonce, count = secrets.token_hex(8), f"{self._uses:08x}"
        secret = digest(self._user, realm, self._password)
        if challenge.algorithm.endswith("-SESS"):
            secret = digest(secret, nonce, client_nonce)
        qop = challenge.protection
        asked = digest(method, uri, digest()) if qop == "auth-int" else digest(method, uri)
        response = (
            digest(secret, nonce, count, client_nonce, qop, asked) if qop else digest(secret, nonce, asked)
        )
        quoted = {"username": self._user, "realm": realm, "nonce": nonce, "uri": uri, "response": response}
        if "opaque" in given:
            quoted["opaque"] = given["opaque"]
        if qop or challenge.algorithm.endswith("-SESS"):
            quoted["cnonce"] = client_nonce
        fields = [f'{name}="{_escape(value)}"' for name, value in quoted.items()]
        if "algorithm" in given:
            fields.append(f"algorithm={given['algorithm']}")
        if qop:
            fields += [f"qop={qop}", f"nc={count}"]
        return "Digest " + ", ".join(fields)


def _digest_of(make_hash: "Callable[[bytes], hashlib._Hash]") -> Callable[..., str]:
    return lambda *parts: make_hash(":".join(parts).encode()).hexdigest()


def _escape(value: str) -> str:
    return re.sub(r'(["\\])', r"\\\1", value)
