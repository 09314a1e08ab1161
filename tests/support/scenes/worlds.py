"""What happens in each scene. Each function draws one from a random generator."""

from collections.abc import Callable
from random import Random

from msgspec import Struct

from .movement import HEIGHT, RATE, WIDTH, Actor, PixelBox, across, inside, person, walk

SECONDS = 24


class World(Struct, frozen=True):
    """Who moves, what hides them, and how good camera and detector are."""

    actors: tuple[Actor, ...]
    pillars: tuple[PixelBox, ...] = ()
    shake: float = 0.0
    """Pixels by which the camera swings."""
    misses: float = 0.25
    """How often an object is found badly or not at all: 0 never, 1 mostly."""
    false_alarms: float = 0.2
    """Things found per frame that are none."""


def _pace(rng: Random) -> float:
    """Return a walking speed in pixels per second: 0.5 to 1.2 heights."""
    return rng.uniform(55, 130)


def crossings(rng: Random) -> World:
    """People walk in both directions and pass before each other."""
    actors = []
    for identity in range(1, 15):
        places = across(rng, rng.uniform(380, 680), rightwards=identity % 2 == 0)
        start = round(rng.uniform(-6, SECONDS - 6) * RATE)
        actors.append(person(rng, identity, walk(rng, places, _pace(rng) * 1.3), start))
    return World(tuple(actors))


def pillars(rng: Random) -> World:
    """People walk behind pillars and walls that hide them for up to two seconds."""
    hiding = tuple(
        (x, 150.0, x + rng.uniform(50, 130), 720.0)
        for x in (rng.uniform(180, 300), rng.uniform(520, 700), rng.uniform(900, 1050))
    )
    actors = []
    for identity in range(1, 11):
        places = across(rng, rng.uniform(400, 660), rightwards=rng.random() < 0.5)
        start = round(rng.uniform(-6, SECONDS - 7) * RATE)
        actors.append(person(rng, identity, walk(rng, places, _pace(rng) * 1.2), start))
    return World(tuple(actors), hiding)


def turns(rng: Random) -> World:
    """People change direction, turn back and walk in curves."""
    actors = []
    for identity in range(1, 9):
        places = [inside(rng) for _ in range(12)]
        actors.append(person(rng, identity, walk(rng, places, _pace(rng) * 1.2), rng.randrange(0, 3 * RATE)))
    return World(tuple(actors))


def stops(rng: Random) -> World:
    """People stand, go on, and meet those who stand."""
    actors = []
    for identity in range(1, 11):
        places = [inside(rng) for _ in range(8)]
        pauses = [rng.choice((0.0, 1.0, 2.5, 5.0)) for _ in places]
        actors.append(person(rng, identity, walk(rng, places, _pace(rng) * 1.2, pauses)))
    return World(tuple(actors))


def shake(rng: Random) -> World:
    """A camera on a pole swings in the wind, while people cross and turn."""
    calm = (crossings, turns)[rng.randrange(2)](rng)
    return World(calm.actors, shake=18.0)


def unreliable(rng: Random) -> World:
    """The detector misses much and finds what is not there."""
    calm = (crossings, stops)[rng.randrange(2)](rng)
    return World(calm.actors, misses=0.8, false_alarms=1.5)


def crowd(rng: Random) -> World:
    """Thirty-five people walk about close to each other."""
    actors = []
    for identity in range(1, 36):
        places = [inside(rng) for _ in range(8)]
        pauses = [rng.choice((0.0, 0.0, 1.5)) for _ in places]
        actors.append(person(rng, identity, walk(rng, places, _pace(rng), pauses)))
    return World(tuple(actors))


def traffic(rng: Random) -> World:
    """Cars and trucks on four lanes, some of which stop at a light; trucks are at times taken for cars."""
    actors = []
    lanes = ((420.0, True), (470.0, True), (560.0, False), (640.0, False))
    for lane, (y, rightwards) in enumerate(lanes):
        start = rng.uniform(-2, 1)
        stops_here = rng.random() < 0.5
        for number in range(5):
            is_truck = rng.random() < 0.3
            speed = rng.uniform(260, 520)
            begin, end = across(rng, y, rightwards, 200)
            begin, end = (begin[0], y), (end[0], y)
            light = (WIDTH * (0.55 if rightwards else 0.45) + rng.uniform(-30, 30), y)
            if stops_here and number == 1:
                path = walk(rng, (begin, light, end), speed, (0.0, 2.5), agility=2.0)
            else:
                path = walk(rng, (begin, end), speed, agility=2.0)
            height = rng.uniform(120, 150) if is_truck else rng.uniform(80, 95)
            actors.append(
                Actor(
                    lane * 5 + number + 1,
                    "truck" if is_truck else "car",
                    path,
                    height * rng.uniform(2.0, 2.5),
                    height,
                    round(start * RATE),
                    "car" if is_truck else "truck",
                )
            )
            start += rng.uniform(2.0, 4.0) + (3.0 if stops_here and number == 1 else 0.0)
    return World(tuple(actors), pillars=((600.0, 100.0, 640.0, HEIGHT),))


WORLDS: dict[str, Callable[[Random], World]] = {
    world.__name__: world for world in (crossings, pillars, turns, stops, shake, unreliable, crowd, traffic)
}
