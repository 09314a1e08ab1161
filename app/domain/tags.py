"""Tags: short texts by which people group scenarios."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

Tag = Annotated[str, Meta(min_length=1, max_length=64, description="one line, without spaces around it")]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=32)]


def find_bad_tag(tags: Sequence[str]) -> int | None:
    """Return the index of a tag that is not one line without spaces around it, or None."""
    bad = (n for n, tag in enumerate(tags) if tag != tag.strip() or not tag.isprintable())
    return next(bad, None)


def distinct(tags: Sequence[str]) -> tuple[str, ...]:
    """Return the tags in their order, each once."""
    return tuple(dict.fromkeys(tags))
