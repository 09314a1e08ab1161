"""Count the samples that an mp4 lists, while FFmpeg reads it from a web server.

FFmpeg keeps an entry for each until the file is closed, and a fragment of 100 bytes may list millions. A name
of a box that is found in pictures counts, too: it comes once in a terabyte with a number that is possible.
"""

import re
from collections.abc import Callable

from . import encryption_lists, memory
from .encryption_lists import saiz_count_at

_MOST_SAMPLES = 160 * 2**20 // 24  # of a fragment: FFmpeg cannot allocate memory for more, and refuses it
_BYTES_PER_SAMPLE = 40  # that FFmpeg takes (measured: 36)
_STEP = 32 * 2**20  # bytes to reserve at once
_NAMES = re.compile(b"trun|stsz|stz2|senc|saiz")
_COUNTS = {b"trun": 4, b"stsz": 8, b"stz2": 8, b"senc": 4}
"""Where the number of samples is in the content of a box. In `saiz`, it depends on what is before."""

_ENCRYPTED = encryption_lists.BYTES_PER_SAMPLE // _BYTES_PER_SAMPLE
"""How many times more FFmpeg takes for a sample whose encryption is listed."""

_WIDE = 8  # bytes by which it is later if the box has a size of 64 bits
_SIZE = 4  # bytes before the name that tell the size of the box
_BEFORE = _SIZE + 3  # bytes in which a name may begin that is not whole, and its size

Reserve = Callable[[int], object]


class FragmentMemory:
    """Reserves what FFmpeg takes for the fragments of one source beyond the allowance."""

    def __init__(self, reserve: Reserve) -> None:
        """`reserve` is called with bytes of which the allowance is free. It may raise VideoError."""
        self._reserve = reserve
        self._taken = 0
        self._reserved = memory.ALLOWANCE

    def add(self, samples: int) -> None:
        """Reserve memory for more samples, before FFmpeg knows of them. Raises VideoError."""
        self._taken += samples * _BYTES_PER_SAMPLE
        more = self._taken - self._reserved
        if more > 0:
            more = max(more, _STEP)
            self._reserve(memory.ALLOWANCE + more)
            self._reserved += more


class FragmentScanner:
    """Finds lists of samples in the bytes of one file, in the order in which they are read."""

    def __init__(self, found: FragmentMemory) -> None:
        self._found = found
        self._rest = b""
        self._end = 0

    def scan(self, data: bytes, start: int) -> None:
        """Look at the bytes from `start` of the file on. Raises VideoError if there is no memory for them."""
        rest = self._rest if start == self._end else b""
        self._end = start + len(data)
        data = rest + data
        listed, keep = 0, len(data) - _BEFORE
        for name in _NAMES.finditer(data):
            place = name.start()
            wide = _WIDE if data[max(place - _SIZE, 0) : place] == b"\0\0\0\1" else 0
            begin = place + wide + len(name[0])
            count_at = saiz_count_at(data[begin : begin + 4]) if name[0] == b"saiz" else _COUNTS[name[0]]
            number = data[begin + count_at : begin + count_at + 4]
            if len(number) < 4:  # it follows with the next bytes
                keep = min(keep, place - _SIZE)
                break
            samples = int.from_bytes(number)
            if samples <= _MOST_SAMPLES:
                listed += samples * (_ENCRYPTED if name[0] in encryption_lists.KINDS else 1)
        if listed:  # all at once: sources that each wait for more would wait for each other
            self._found.add(listed)
        self._rest = data[max(keep, 0) :]
