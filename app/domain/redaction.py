"""Text without the credentials in it, for logs, messages and answers."""

import re
from urllib.parse import unquote

_SECRET = re.compile(r"pass|pw|token|key|auth|secret|sig|user|login|session|credential", re.IGNORECASE)
# These see whatever strangers send: none may look at a place of a long text again and again.
_LOGIN = re.compile(r"(?<=://)[^\s/]+@")
_NAME = re.compile(r"[?&#;]([^=?&#;\s]+)=")
_VALUE = re.compile(r"(?:[^&\s'\"]|'(?=\w))+")  # a quote ends it only where it was quoted
# as in user=admin_password=…_channel=1
_SECRET_IN_PATH = re.compile(r"(pass\w{0,20}?|pwd?)(=|:|%3d|%3a)[^_&;,/\s]+", re.IGNORECASE)


def redact(text: str) -> str:
    """Any text, without the credentials in the addresses in it."""
    text = _SECRET_IN_PATH.sub(r"\1\2***", _LOGIN.sub("***@", text))
    shown = []
    place = 0
    for name in _NAME.finditer(text):
        if name.start() >= place and _SECRET.search(unquote(name[1])):
            shown.append(text[place : name.end()])
            value = _VALUE.match(text, name.end())
            place = value.end() if value else name.end()
            shown.append("***" if value else "")
    return "".join(shown) + text[place:]


def names_a_secret(parameter: str) -> bool:
    """Return whether a parameter's name says that its value is a secret."""
    return _SECRET.search(parameter) is not None
