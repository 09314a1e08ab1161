"""Find the index of a NUT file, and walk over its last frames, to tell whether its end is missing."""

from collections.abc import Callable

from msgspec import Struct

ID = b"nut/multimedia container\0"
"""The first bytes of a file."""

_INDEX = bytes.fromhex("4e58dd672f23e64e")
_MAIN = bytes.fromhex("4e4d7a561f5f04ad")
_SYNCPOINT = bytes.fromhex("4e4be4adeeca4569")
_CODED_PTS, _STREAM, _SIZE, _CHECKSUM, _RESERVED = 8, 16, 32, 64, 128
_HEADER, _MATCH_TIME, _CODED, _INVALID = 1024, 2048, 4096, 8192
_LONG_PACKET = 4096  # bytes from which on a packet's length has a checksum, and a frame no shared header
_TABLE = 256  # frame codes
_MAX_STEPS = 100_000  # from a syncpoint on, which comes every 64 KiB


class _FrameCode(Struct, frozen=True):
    """What the first byte of a frame stands for."""

    flags: int
    size_factor: int = 1
    size: int = 0
    reserved: int = 0
    header: int = 0


class _Numbers:
    """Reads what is coded in bytes. Raises IndexError at the end."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data = data
        self.place = place

    def next(self) -> int:
        """Return a number, whose bytes have 7 bits each."""
        value = 0
        while True:
            byte = self.data[self.place]
            self.place += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value

    def skip(self, count: int) -> None:
        for _ in range(count):
            self.next()


def has_index(read: Callable[[int, int], bytes], size: int) -> bool:
    """Return whether a file of `size` bytes ends with an index, whose last 12 bytes tell where it begins.

    `read(place, count)` returns bytes of it.
    """
    length = int.from_bytes(read(max(size - 12, 0), 8))
    return 0 < length <= size and read(size - length, len(_INDEX)) == _INDEX


class NutFrames:
    """How frames are written, as the main header tells. Raises IndexError if `beginning` has no whole one."""

    def __init__(self, beginning: bytes) -> None:
        place = beginning.find(_MAIN)
        if place < 0:
            raise IndexError
        numbers = _Numbers(beginning, place + len(_MAIN))
        length = numbers.next()
        if length > _LONG_PACKET:
            numbers.place += 4
        end = numbers.place + length - 4  # where the checksum is
        if numbers.next() > 3:  # the version, of which newer ones have a minor number
            numbers.skip(1)
        numbers.skip(2)  # streams, and the distance of syncpoints
        numbers.skip(2 * numbers.next())  # clocks
        self._codes = _frame_codes(numbers)
        self._headers = [0]
        count = numbers.next() if numbers.place < end else 0  # FFmpeg of 2008 wrote none
        for _ in range(min(count, 127)):
            self._headers.append(numbers.next())
            numbers.place += self._headers[-1]

    def end_within(self, tail: bytes, *, is_whole: bool) -> bool | None:
        """Return whether these last bytes of the file end within a frame or packet; None if it is unknown.

        `is_whole`: they are the whole file.
        """
        place = tail.rfind(_SYNCPOINT)
        if place < 0 and is_whole and tail.startswith(ID):
            place = len(ID)
        if place < 0:
            return None
        for _ in range(_MAX_STEPS):
            if place >= len(tail):
                return place > len(tail)
            try:
                place = self._after(tail, place)
            except IndexError:
                return True
        return None

    def _after(self, tail: bytes, place: int) -> int:
        """Return the place behind the packet or frame at `place`. Raises IndexError."""
        if tail[place] == ord("N"):
            numbers = _Numbers(tail, place + len(_MAIN))
            length = numbers.next()
            return numbers.place + length + (4 if length > _LONG_PACKET else 0)
        code = self._codes[tail[place]]
        numbers = _Numbers(tail, place + 1)
        flags = code.flags
        if flags & _CODED:
            flags ^= numbers.next()
        numbers.skip(bool(flags & _STREAM) + bool(flags & _CODED_PTS))
        size = code.size + (code.size_factor * numbers.next() if flags & _SIZE else 0)
        numbers.skip(bool(flags & _MATCH_TIME))
        header = numbers.next() if flags & _HEADER else code.header
        numbers.skip(min(numbers.next() if flags & _RESERVED else code.reserved, _MAX_STEPS))
        shared = self._headers[header] if size <= _LONG_PACKET else 0
        return numbers.place + (4 if flags & _CHECKSUM else 0) + max(size - shared, 0)


def _frame_codes(numbers: _Numbers) -> list[_FrameCode]:
    codes: list[_FrameCode] = []
    factor, header = 1, 0
    while len(codes) < _TABLE:
        flags, fields = numbers.next(), numbers.next()
        values = [numbers.next() for _ in range(min(fields, _TABLE))]
        given = dict(enumerate(values))
        factor, size = given.get(1, factor), given.get(3, 0)
        reserved, header = given.get(4, 0), given.get(7, header)
        for number in range(max(given.get(5, factor - size), 1)):
            if len(codes) == ord("N"):  # with which packets begin
                codes.append(_FrameCode(_INVALID))
            if len(codes) < _TABLE:
                codes.append(_FrameCode(flags, factor, size + number, reserved, header))
    return codes
