"""Find out whether the pictures of an MPEG transport stream have the times of one clock."""

import time
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...domain.pins import FileIdentity
from .seeking import SeekTimeoutError

_PACKET = 188  # bytes
_BLOCK = 32_768  # packets that are looked at together: 6 MB
_HZ = 90_000  # of the clock
_MOST_BACK, _MOST_AHEAD = _HZ, 3600 * _HZ  # between pictures: more is a join, as in PictureDemuxer
_TABLE = 19  # bytes of a PES header up to the end of its timestamps
_REMEMBERED = 16  # recordings

Stamps = NDArray[np.int64]


class _Clock:
    """What is known of one track of one recording, as far as it was read."""

    def __init__(self) -> None:
        self._position = 0
        self._latest: int | None = None
        self._holds: bool | None = None

    def holds(self, path: Path, pid: int, until: float) -> bool:
        """Read on to the end of the file. Raises SeekTimeoutError and OSError."""
        if self._holds is not None:
            return self._holds
        with path.open("rb") as file:
            file.seek(self._position)
            while block := file.read(_BLOCK * _PACKET):
                whole = len(block) // _PACKET
                packets = np.frombuffer(block, np.uint8, whole * _PACKET).reshape(-1, _PACKET)
                if not (packets[:, 0] == 0x47).all() or not self._goes_on(_timestamps(packets, pid)):
                    self._holds = False
                    return False
                self._position += len(block)
                if time.monotonic() > until:
                    raise SeekTimeoutError
        self._holds = self._latest is not None
        return self._holds

    def _goes_on(self, stamps: Stamps) -> bool:
        if not len(stamps):
            return True
        before = stamps[:1] if self._latest is None else np.array([self._latest])
        steps = np.diff(np.concatenate((before, stamps)))
        self._latest = int(stamps[-1])
        return bool((steps >= -_MOST_BACK).all() and (steps <= _MOST_AHEAD).all())


def has_one_clock(path: Path, identity: FileIdentity, pid: int, until: float) -> bool:
    """Return whether the times of a track never begin anew, which its timestamps tell.

    It is False, too, if packets do not follow each other from the beginning of the file to its end. What was
    read is remembered, so that another try goes on where this one ended.

    Raises:
        SeekTimeoutError: it is later than `until`, in seconds of `time.monotonic()`.
        OSError: the file cannot be read.
    """
    return _remembered(path, identity, pid).holds(path, pid, until)


@lru_cache(_REMEMBERED)
def _remembered(_path: Path, _identity: FileIdentity, _pid: int) -> _Clock:
    return _Clock()


def _timestamps(packets: NDArray[np.uint8], pid: int) -> Stamps:
    """Return when the pictures that begin in these packets are decoded, in ticks of the clock."""
    begins = (packets[:, 1] & 0x40 != 0) & (packets[:, 1] & 0x1F == pid >> 8) & (packets[:, 2] == pid & 0xFF)
    packets = packets[begins & (packets[:, 3] & 0x10 != 0)]
    at = 4 + np.where(packets[:, 3] & 0x20, packets[:, 4].astype(int) + 1, 0)
    packets, at = packets[at <= _PACKET - _TABLE], at[at <= _PACKET - _TABLE]
    header = np.take_along_axis(packets, at[:, None] + np.arange(_TABLE), axis=1).astype(np.int64)
    given = header[:, 7] >> 6  # 2: when it is shown; 3: and when it is decoded
    is_picture = (header[:, 0] == 0) & (header[:, 1] == 0) & (header[:, 2] == 1) & (given >= 2)
    header, given = header[is_picture], given[is_picture]
    stamp = np.where((given == 3)[:, None], header[:, 14:19], header[:, 9:14])
    parts = (stamp[:, 0] >> 1 & 7) << 30, stamp[:, 1] << 22, stamp[:, 2] >> 1 << 15, stamp[:, 3] << 7
    return np.asarray(sum(parts) + (stamp[:, 4] >> 1), np.int64)
