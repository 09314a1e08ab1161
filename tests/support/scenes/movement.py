"""Paths of people and vehicles over the ground of a picture, one position per tick."""

import math
from collections.abc import Sequence
from random import Random

from msgspec import Struct

RATE = 30
"""Ticks per second."""
WIDTH, HEIGHT = 1280, 720

Place = tuple[float, float]
"""x of the middle and y of the lower edge of a box, in pixels."""
PixelBox = tuple[float, float, float, float]


class Actor(Struct, frozen=True):
    """An object with an identity of its own, in the picture or near it from `first` tick on."""

    identity: int
    label: str
    path: tuple[Place, ...]
    width: float
    height: float
    first: int = 0
    other_label: str | None = None
    """What the detector takes it for now and then."""

    def box(self, tick: int) -> PixelBox | None:
        """Return its box, larger if it is nearer (lower in the picture); None if it is not there."""
        if not 0 <= tick - self.first < len(self.path):
            return None
        x, y = self.path[tick - self.first]
        scale = 0.4 + 0.6 * y / HEIGHT
        return (x - self.width * scale / 2, y - self.height * scale, x + self.width * scale / 2, y)


def walk(
    rng: Random, places: Sequence[Place], speed: float, pauses: Sequence[float] = (), agility: float = 3.0
) -> tuple[Place, ...]:
    """Go from place to place with `speed` in pixels per second, and rest `pauses[n]` seconds at the n-th.

    The velocity approaches the wanted one by the fraction `agility` per second, so that turns are round and
    starts soft. The wanted speed wanders by a tenth.
    """
    (x, y), *rest = places
    vx = vy = 0.0
    if rest and not (pauses and pauses[0]):
        length = math.dist((x, y), rest[0]) or 1.0
        vx, vy = (rest[0][0] - x) / length * speed, (rest[0][1] - y) / length * speed
    path = [(x, y)] * round((pauses[0] if pauses else 0.0) * RATE)
    wander = 0.0
    for number, (to_x, to_y) in enumerate(rest, 1):
        pause = pauses[number] if number < len(pauses) else 0.0
        for _ in range(60 * RATE):
            distance = math.dist((x, y), (to_x, to_y))
            if distance < speed / agility * (0.25 if pause else 0.7):
                break
            wander += rng.gauss(0, 0.02) - 0.02 * wander
            wanted = speed * (1 + max(-0.3, min(0.3, wander)))
            vx += ((to_x - x) / distance * wanted - vx) * agility / RATE
            vy += ((to_y - y) / distance * wanted - vy) * agility / RATE
            x, y = x + vx / RATE, y + vy / RATE
            path.append((x, y))
        for _ in range(round(pause * RATE)):
            vx, vy = vx * (1 - 6 / RATE), vy * (1 - 6 / RATE)
            x, y = x + vx / RATE, y + vy / RATE
            path.append((x, y))
    return tuple(path)


def across(rng: Random, y: float, rightwards: bool, margin: float = 80) -> tuple[Place, Place]:
    """Return where somebody enters and leaves who goes from side to side near the height `y`."""
    ends = ((-margin, y + rng.uniform(-25, 25)), (WIDTH + margin, y + rng.uniform(-25, 25)))
    return ends if rightwards else (ends[1], ends[0])


def inside(rng: Random) -> Place:
    """Return some place on the ground."""
    return (rng.uniform(80, WIDTH - 80), rng.uniform(260, HEIGHT - 20))


def person(rng: Random, identity: int, path: tuple[Place, ...], first: int = 0) -> Actor:
    """Return somebody 110 to 150 pixels tall at the lower edge."""
    height = rng.uniform(130, 180)
    return Actor(identity, "person", path, height * rng.uniform(0.34, 0.46), height, first)
