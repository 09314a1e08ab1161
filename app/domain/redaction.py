"""Remove credentials from text for logs, messages and responses."""

import re
from urllib.parse import unquote

_SECRET = re.compile(r"pass|pw|token|key|auth|secret|sig|user|login|session|credential", re.IGNORECASE)
# These run on untrusted text, so each must take linear time.
_LOGIN = re.compile(r"(?<=://)[^\s/]+@")
_NAME = re.compile(r"[?&#;]([^=?&#;\s]+)=")
_VALUE = re.compile(r"(?:[^&\s'\"]|'(?=\w))+")  # a quote before a word character is part of the value
# as in user=admin_password=…_channel=1
_SECRET_IN_PATH = re.compile(r"(pass\w{0,20}?|pwd?)(=|:|%3d|%3a)[^_&;,/\s]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Return `text` with `***` for each credential in the addresses that it contains."""
    text = _SECRET_IN_PATH.sub(r"\1\2***", _LOGIN.sub("***@", text))
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
