"""The order in which H.265 pictures are shown, from their own headers (ITU-T H.265, 7.3 and 8.3.1).

FFmpeg's filter for this, dts2pts, ends the process on some damaged recordings.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from .headers import length_size, units

if TYPE_CHECKING:
    from .packets import Packet

_SLICES, _KEYS, _BROKEN_LINKS = range(32), range(16, 24), range(16, 19)
_IDR, _CRA, _LEADING = (19, 20), 21, range(6, 10)
_SPS, _PPS, _ENDS = 33, 34, (36, 37)
_MOST_BYTES = 256  # of a unit, within which all that is read here stands
_DEEPEST = 16  # pictures that are held back at most until earlier ones came


def in_order(packets: "Iterable[Packet]", extradata: bytes | None, ticks: int) -> "Iterator[Packet]":
    """The pictures' packets, in file order, each with the time at which it is shown.

    Of the packets' own times only those of decoding are used, where there are any; `ticks` is a frame's
    length. Packets that begin no readable picture are left out.
    """
    order = PictureOrder()
    size = length_size("hevc", extradata)
    for unit in _configured(extradata or b"", size):
        with suppress(ValueError):
            order.read(unit)
    waiting: deque[Packet] = deque()  # in file order
    unplaced: list[tuple[tuple[int, int], int, Packet]] = []  # those of them that have no time yet
    times: deque[int] = deque()  # left to give: the nth picture shown has the nth time of decoding
    recent: deque[int] = deque(maxlen=_DEEPEST + 1)
    for number, packet in enumerate(packets):
        place = _place(order, bytes(packet), size)
        if place is None:
            continue
        decoded = number * ticks if packet.dts is None else packet.dts
        times.append(decoded)
        recent.append(decoded)
        # Decoding is said to be so early that no picture is shown before.
        packet.dts = recent[0] - (_DEEPEST + 1 - len(recent)) * ticks
        packet.pts = None
        waiting.append(packet)
        heappush(unplaced, (place, number, packet))
        while len(unplaced) > _DEEPEST or unplaced[0][0][0] < place[0]:
            heappop(unplaced)[2].pts = times.popleft()
        while waiting and waiting[0].pts is not None:
            yield waiting.popleft()
    while unplaced:
        heappop(unplaced)[2].pts = times.popleft()
    yield from waiting


def _place(order: "PictureOrder", data: bytes, size: int) -> tuple[int, int] | None:
    for start in units(data, size):
        with suppress(ValueError):
            if (place := order.read(data[start : start + _MOST_BYTES])) is not None:
                return place
    return None


def _configured(extradata: bytes, size: int) -> Iterator[bytes]:
    """The units that come before the first picture."""
    if not size:
        for start in units(extradata, 0):
            yield extradata[start : start + _MOST_BYTES]
        return
    place = 23
    while place + 3 <= len(extradata):
        count = int.from_bytes(extradata[place + 1 : place + 3])
        place += 3
        for _ in range(count):
            length = int.from_bytes(extradata[place : place + 2])
            yield extradata[place + 2 : place + 2 + min(length, _MOST_BYTES)]
            place += 2 + length


class PictureOrder:
    """Takes the units of one stream, in file order."""

    def __init__(self) -> None:
        self._sequences: dict[int, _Sequence] = {}
        self._pictures: dict[int, _Picture] = {}
        self._count = 0  # of independent parts so far: no picture is shown before one of an earlier part
        self._previous = 0  # the number that the next ones are told relative to
        self._fresh = True  # nothing came before, or what came before was said to end

    def read(self, unit: bytes) -> tuple[int, int] | None:
        """Where the picture is shown that a unit begins: in the order of these. None where it begins none.

        Raises ValueError for a unit that is damaged, or that leans on one that is not there.
        """
        if len(unit) < 3:
            return None
        kind, layer = unit[0] >> 1 & 0x3F, (unit[0] & 1) << 5 | unit[1] >> 3
        if kind in _ENDS:
            self._fresh = True
        if layer or (kind not in _SLICES and kind not in (_SPS, _PPS)):
            return None
        bits = _Bits(unit[2:])
        try:
            if kind == _SPS:
                number, sequence = _read_sequence(bits)
                self._sequences[number] = sequence
            elif kind == _PPS:
                number = bits.golomb()
                self._pictures[number] = _Picture(bits.golomb(), bits.take(1), bits.take(1), bits.take(3))
            else:
                return self._read_slice(kind, unit[1] & 7, bits)
        except (IndexError, KeyError) as error:
            raise ValueError("a damaged header") from error
        return None

    def _read_slice(self, kind: int, level: int, bits: "_Bits") -> tuple[int, int] | None:
        if not bits.take(1):
            return None  # a further slice of the same picture
        if kind in _KEYS:
            bits.take(1)
        picture = self._pictures[bits.golomb()]
        sequence = self._sequences[picture.sequence]
        bits.take(picture.extra)
        bits.golomb()  # the slice's type
        bits.take(picture.may_be_hidden + 2 * sequence.separate_planes)
        low = 0 if kind in _IDR else bits.take(sequence.low_bits)
        if kind in _IDR or kind in _BROKEN_LINKS or (kind == _CRA and self._fresh):
            self._count += 1
            number = low
        else:
            size = 1 << sequence.low_bits
            number = self._previous - self._previous % size + low
            if number - self._previous > size // 2:
                number -= size
            elif self._previous - number >= size // 2:
                number += size
        self._fresh = False
        # Of pictures that may be left out, no other is numbered relative to.
        if level == 1 and kind not in _LEADING and (kind >= 16 or kind % 2):
            self._previous = number
        return self._count, number


class _Sequence(NamedTuple):
    low_bits: int
    separate_planes: int


class _Picture(NamedTuple):
    sequence: int
    has_dependent_slices: int
    may_be_hidden: int
    extra: int


def _read_sequence(bits: "_Bits") -> tuple[int, _Sequence]:
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + 88 + 8)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.take(88 * has_profile + 8 * has_level)
    number = bits.golomb()
    separate_planes = bits.take(1) if bits.golomb() == 3 else 0
    bits.golomb(), bits.golomb()  # width and height
    if bits.take(1):
        for _ in range(4):
            bits.golomb()  # cropping
    bits.golomb(), bits.golomb()  # depths
    low_bits = bits.golomb() + 4
    if low_bits > 16:
        raise ValueError("a damaged header")
    return number, _Sequence(low_bits, separate_planes)


class _Bits:
    """Reads a unit's bits. Raises IndexError past the end."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        """So many bits, as a number."""
        self._left -= count
        if self._left < 0:
            raise IndexError
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """A number whose length is told by leading zeros."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
