"""Conditional requests (RFC 9110, section 13): whether the client has the current answer already."""

import re

from .requests import ApiRequest

_TAG = re.compile(r'(?:W/)?("[^"]*")')


def is_not_modified(request: ApiRequest, entity_tag: str) -> bool:
    """Return whether `If-None-Match` names this entity tag, such as `"abc"` with its quotation marks."""
    header = request.headers.get("if-none-match", "")
    return header.strip() == "*" or entity_tag in _TAG.findall(header)
