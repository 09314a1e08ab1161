"""The JSON columns of the table `scenarios`."""

import msgspec

from ..domain.media import Media

_media = msgspec.json.Decoder(Media)


def decode_media(text: str | None) -> Media | None:
    """Return the media in `scenarios.media`, or None if no source was opened yet."""
    return None if text is None else _media.decode(text)
