"""The JSON columns of the table `scenarios`."""

import msgspec

from ..domain.media import Media
from ..domain.spec import ScenarioSpec

_spec = msgspec.json.Decoder(ScenarioSpec)
_media = msgspec.json.Decoder(Media)


def decode_spec(text: str) -> ScenarioSpec:
    """Return the specification in `scenarios.spec`."""
    return _spec.decode(text)


def decode_media(text: str | None) -> Media | None:
    """Return the media in `scenarios.media`, or None if no source was opened yet."""
    return None if text is None else _media.decode(text)
