"""Damage to recordings: what storage, transport and power cuts do to a file."""

import random
from pathlib import Path

from tests.torture.media.listing import Packet

DAMAGES = ("start", "middle", "end", "group", "zeros", "flips", "cut", "dropped")


def damage(kind: str, path: Path, to: Path, packets: list[Packet], gop: int, chance: random.Random) -> range:
    """Write a damaged copy, and return which of the packets (in decode order) are damaged.

    `packets` are those of the undamaged file. `dropped` is done while copying, not here.
    """
    data = bytearray(path.read_bytes())
    count = len(packets)
    match kind:
        case "start":
            hit = range(1, 6)
        case "middle":
            hit = range(count // 2 - 4, count // 2 + 3)
        case "end":
            hit = range(count - 5, count)
        case "group":
            hit = range(gop, 2 * gop)
        case _:
            hit = range(count // 2 - 4, count // 2 + 3)
    places = [packet.pos for packet in packets]
    match kind:
        case "cut":
            length = int(len(data) * chance.choice((0.3, 0.6, 0.9)))
            del data[length:]
            first = next(
                (n for n, place in enumerate(places) if place is not None and place >= length), count
            )
            hit = range(max(first - 1, 0), count)
        case "zeros":
            start, end = _span(packets, hit, len(data))
            data[start:end] = bytes(end - start)
        case "flips":
            for packet in packets[hit.start : hit.stop]:
                if packet.pos is not None:
                    for _ in range(4):
                        place = packet.pos + chance.randrange(packet.size)
                        data[min(place, len(data) - 1)] ^= 1 << chance.randrange(8)
        case _:
            for packet in packets[hit.start : hit.stop]:
                if packet.pos is not None:
                    data[packet.pos : packet.pos + packet.size] = chance.randbytes(packet.size)
    to.write_bytes(data)
    return _sharing(places, hit)


def _sharing(places: list[int | None], hit: range) -> range:
    """Return the packets as well that share a page or a packet of the container with these."""
    first, end = hit.start, hit.stop
    while 0 < first < len(places) and places[first - 1] == places[first] is not None:
        first -= 1
    while 0 < end < len(places) and places[end] == places[end - 1] is not None:
        end += 1
    return range(first, end)


def _span(packets: list[Packet], hit: range, size: int) -> tuple[int, int]:
    """Return the bytes from the first of these packets to the end of the last."""
    first, last = packets[hit.start], packets[hit.stop - 1]
    if first.pos is None or last.pos is None:
        return size // 2, size // 2 + size // 10
    return first.pos, max(min(last.pos + last.size, size), first.pos + 1)
