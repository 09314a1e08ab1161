"""Colours of labels, and where their texts stand. Pages have the same rules, in colors.js and places.js."""

from collections.abc import Sequence

Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom."""

COLOURS = (
    0xE69F00,
    0x56B4E9,
    0x2FBF8F,
    0xF0E442,
    0x5B8DEF,
    0xF2713F,
    0xE58FC0,
    0xB9D44A,
    0xC58AF9,
)
"""As 0xRRGGBB: Okabe and Ito's for the colour-blind, and shades of them that are bright enough on video."""

ZONE_COLOUR = 0x00C8FF
IGNORED_COLOUR = 0x9A9A9A
LINE_COLOUR = 0xFFDC00

MOST_TAKEN = 100
"""Texts that later ones keep clear of: more would cost more than they help."""


def colour_of(label: str) -> int:
    """Return the colour of a label, derived from its characters. Text on it is black."""
    number = 2166136261  # FNV-1a
    for character in label:
        number = ((number ^ ord(character)) * 16777619) & 0xFFFFFFFF
    return COLOURS[(number ^ (number >> 15)) % len(COLOURS)]


def place_text(
    box: Rectangle, size: tuple[float, float], picture: tuple[float, float], taken: Sequence[Rectangle]
) -> Rectangle:
    """Return where the text of a box stands: above it, inside, or below, clear of those that are `taken`.

    `size`: width and height of the text, which must fit the picture; if no place is free, it is the first.
    """
    (x1, y1, x2, y2), (width, height) = box, size
    lefts = [max(0.0, min(left, picture[0] - width)) for left in (x1, x2 - width)]
    tops = [top for top in (y1 - height, y1, y2, y2 - height) if 0 <= top <= picture[1] - height]
    places = [(left, top, left + width, top + height) for top in tops for left in lefts]
    for place in places:
        if not any(_overlap(place, other) for other in taken[:MOST_TAKEN]):
            return place
    top = max(0.0, min(y1 - height, picture[1] - height))
    return places[0] if places else (lefts[0], top, lefts[0] + width, top + height)


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
