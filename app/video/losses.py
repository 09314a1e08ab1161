"""Find the pictures that are missing between two others because the file is damaged there.

Only some containers list all of their pictures. In the others, a missing one leaves a gap in the times, and
bytes in which nothing was found. In a recording at a constant rate the gap tells how many are missing.
"""

from collections import deque
from collections.abc import Iterator

from msgspec import Struct

from .coded import CodedPicture, VideoPacket

_NEAR = 32  # pictures: damage that far from a gap, in decode order, may be its cause
_TOLERANCE = 0.3  # of a frame's duration: containers round times
_MIN_MEASURED = 10  # intervals from which the duration of a frame is measured
_KEY_TO_OTHERS = 25  # times as many bytes as others may have: a key frame
_TS_PACKET = 188  # bytes, the least that a picture takes in MPEG-TS
_HEADERS = 0.03  # the share of packets' headers in bytes
_MOST_REGULAR = 0.9  # of the intervals of a recording at a constant rate
_MAX_UNSEEN = 1000  # pictures that may be missing if only a flag of the container says so
_MAX_SHARE_UNSEEN = 10  # … for each that is there, in the whole recording
_LEAST_PICTURE = 8  # bytes that any picture takes in a container


class _Hole(Struct, frozen=True):
    """Bytes in front of a picture's packet in which no packet was found, and what was usual before them."""

    number: int
    size: int
    is_flagged: bool  # the container says that data are missing
    usual_rate: float  # bytes per tick between packets
    least: float  # bytes of it that no picture explains
    least_picture: float  # bytes that each missing picture has at least


class LossFinder:
    """Compares the times of a recording's pictures with the bytes of its file.

    `has_uncounted`: pictures are missing, but the times do not tell how many.
    """

    def __init__(self, frame_ticks: float, *, is_alone: bool, has_tables: bool) -> None:
        """`frame_ticks`: a frame's duration by the container. `is_alone`: there is no other track.

        `has_tables`: the container repeats tables between pictures, as MPEG-TS does.
        """
        self.has_uncounted = False
        self._frame_ticks = frame_ticks
        self._is_alone = is_alone
        self._tables, self._packet = (4 * _TS_PACKET, _TS_PACKET) if has_tables else (0, 0)
        self._holes: deque[_Hole] = deque(maxlen=2 * _NEAR + 64)
        self._end: int | None = None  # of the last packet, in the file
        self._count = self._bytes = self._between = 0  # packets, their bytes, and bytes between them
        self._last: CodedPicture | None = None
        self._first_pts = 0
        self._intervals = self._regular = self._regular_ticks = 0
        self._unseen = 0  # pictures that were missing because a flag said so

    def note(self, picture: CodedPicture, packet: VideoPacket) -> None:
        """Take the next picture in decode order."""
        hole = 0
        if packet.pos is not None:
            hole = 0 if self._end is None else packet.pos - self._end
            self._end = packet.pos + packet.size
        usual_picture = self._bytes / self._count if self._count else 0.0
        elapsed = max(1, picture.pts - self._first_pts) if self._count else 1
        self._holes.append(
            _Hole(
                picture.number, hole, packet.is_corrupt, self._between / elapsed, *self._least(usual_picture)
            )
        )
        if not self._count:
            self._first_pts = picture.pts
        self._count += 1
        self._bytes += packet.size
        if hole < 4 * max(usual_picture, 1000):
            self._between += hole

    def fill(self, picture: CodedPicture) -> Iterator[CodedPicture]:
        """Yield the pictures that are missing before this one, which is the next in presentation order."""
        last, self._last = self._last, picture
        if last is None or last.part != picture.part:
            return
        ticks = picture.pts - last.pts
        frame_ticks = self._measured_ticks
        count = round(ticks / frame_ticks) - 1
        self._intervals += 1
        if count <= 0:
            if abs(ticks - frame_ticks) < _TOLERANCE * frame_ticks:
                self._regular += 1
                self._regular_ticks += ticks
            return
        is_regular = (
            self._regular >= _MOST_REGULAR * (self._intervals - 1)
            and abs(ticks - (count + 1) * frame_ticks) < _TOLERANCE * frame_ticks
        )
        if not self._is_damaged(last, picture, ticks, count):
            return
        if not is_regular:
            self.has_uncounted = True
            return
        self._intervals -= 1
        for n in range(1, count + 1):
            pts = last.pts + round(n * ticks / (count + 1))
            yield CodedPicture(
                number=-1,
                pts=pts,
                dts=None,
                is_key=False,
                starts_closed_gop=False,
                is_reference=True,
                is_shown=True,
                is_damaged=True,
                is_missing=True,
            )

    def _least(self, usual_picture: float) -> tuple[float, float]:
        """Return how many bytes of a hole mean nothing, and how many more each missing picture takes."""
        if self._count >= _MIN_MEASURED or not self._is_alone:
            return 0.0, usual_picture / 2
        # Most of what was measured is a key frame. Without other tracks only tables and headers fill holes.
        return self._tables + _HEADERS * usual_picture, max(usual_picture / _KEY_TO_OTHERS / 2, self._packet)

    @property
    def _measured_ticks(self) -> float:
        if self._regular >= _MIN_MEASURED:
            return self._regular_ticks / self._regular
        return self._frame_ticks

    def _is_damaged(self, last: CodedPicture, following: CodedPicture, ticks: int, count: int) -> bool:
        first, end = sorted([last.number, following.number])
        for hole in self._holes:
            if not first - _NEAR <= hole.number <= end + _NEAR:
                continue
            if hole.is_flagged and count <= _MAX_UNSEEN:
                if self._unseen + count > max(_MAX_UNSEEN, _MAX_SHARE_UNSEEN * self._count):
                    self.has_uncounted = True
                    return False
                self._unseen += count
                return True
            unexplained = hole.size - hole.usual_rate * ticks
            if unexplained >= hole.least + count * max(hole.least_picture, _LEAST_PICTURE):
                return True
        return False
