"""Remove credentials from text for logs, messages and responses."""

import re
from urllib.parse import unquote

# Short words count only if they stand alone, as in `user_pin` and `userPin`, not in `codec` and `side`.
_SECRET = re.compile(
    r"(?i:pass|pw|token|key|auth|secret|sig|user|login|session|credential|sessid|jwt|ticket|bearer|hmac|pincode)"
    r"|(?<![A-Za-z])(?i:pin|code|sid|otp|cred|creds)(?![A-Za-z])"
    r"|(?<=[a-z])(?:Pin|Code|Sid|Otp|SID|PIN|OTP)(?![a-z])"
)
# These run on untrusted text, so each must take linear time.
_LOGIN = re.compile(r"(?<=://)[^\s/]+@")
_SPLIT_LOGIN = re.compile(r"(?<=://)[^\s/:@]+:(?:(?!://)[^\s'\"])*@")  # the password contains a "/"
_NAME = re.compile(r"[?&#;]([^=?&#;\s]+)=")
_VALUE = re.compile(r"(?:[^&\s'\"]|'(?=\w))+")  # a quote before a word character is part of the value
# as in user=admin_password=…_channel=1
_PASSWORD_IN_PATH = re.compile(r"(pass\w{0,20}?|pwd?)(=|:|%3d|%3a)[^_&;,/\s]+", re.IGNORECASE)
# as in /live/token=…/1.ts
_SECRET_IN_PATH = re.compile(
    r"([/_;,](?:access_?|api_?|auth_?|session_?)?(?:token|key|secret|auth|signature|sig|session_?id|session|sid|jwt|ticket"
    r"|pin|code|otp))(=|%3d)[^&;,/\s'\"]+",
    re.IGNORECASE,
)

_SECRET_WORDS = (
    "token",
    "key",
    "secret",
    "auth",
    "sig",
    "session",
    "sid",
    "jwt",
    "ticket",
    "pin",
    "code",
    "otp",
)
"""One of these is in each text in which `_SECRET_IN_PATH` finds something."""


def redact(text: str) -> str:
    """Return `text` with `***` for each credential in the addresses that it contains."""
    # Each line of the log comes here, and few lines have what an expression looks for.
    if "@" in text:
        text = _SPLIT_LOGIN.sub("***@", _LOGIN.sub("***@", text))
    folded = text.casefold()
    if "pass" in folded or "pw" in folded:
        text = _PASSWORD_IN_PATH.sub(r"\1\2***", text)
    if any(map(folded.__contains__, _SECRET_WORDS)):
        text = _SECRET_IN_PATH.sub(r"\1\2***", text)
    parts = []
    position = 0
    for name in _NAME.finditer(text):
        if name.start() >= position and _SECRET.search(unquote(name[1])):
            parts.append(text[position : name.end()])
            value = _VALUE.match(text, name.end())
            position = value.end() if value else name.end()
            parts.append("***" if value else "")
    return "".join(parts) + text[position:]


def names_a_secret(parameter: str) -> bool:
    """Return whether the name of a query parameter says that its value is a secret."""
    return _SECRET.search(parameter) is not None
