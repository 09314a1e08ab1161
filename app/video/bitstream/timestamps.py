"""Restore the timestamps of pictures in formats that do not store them.

The pictures' own headers tell their presentation order. FFmpeg's filter dts2pts reads these too, but leaves
out pictures whose header is damaged, and aborts the process on some damaged H.265 recordings.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from ..coded import VideoPacket
from .h264 import H264PictureReader
from .hevc import PictureOrderCounter
from .mpeg2 import TemporalReferenceReader
from .nal_units import PictureOrder

_MAX_REORDERED = 16  # pictures that may precede another in decode order and follow it in presentation order
_MAX_UNREADABLE = 1000  # pictures that wait for a place


def restore_timestamps(
    packets: Iterable[VideoPacket], codec: str, extradata: bytes | None, frame_ticks: int
) -> Iterator[VideoPacket]:
    """Yield the packets in decode order, with presentation timestamps; `frame_ticks` is a frame's duration.

    Of the packets' timestamps only those of decoding are used, if there are any. Each packet is a picture:
    one that cannot be read, or has 0 bytes, keeps its place.
    """
    reader: H264PictureReader | PictureOrderCounter | TemporalReferenceReader
    usual_step = 1
    match codec:
        case "h264":
            reader, usual_step = H264PictureReader(extradata), 2
        case "hevc":
            reader = PictureOrderCounter(extradata)
        case _:
            reader = TemporalReferenceReader()
    restorer = _Restorer(frame_ticks, usual_step)
    for packet in packets:
        yield from restorer.add(packet, reader.read_order(bytes(packet)))
    yield from restorer.flush()


class _Restorer:
    """Gives the nth picture in presentation order the nth decode timestamp.

    An unreadable picture gets a place that the orders of its neighbours leave free, or else one after all
    that came before it, so that all other pictures keep theirs.
    """

    def __init__(self, frame_ticks: int, usual_step: int) -> None:
        """`usual_step`: by how much a picture's order usually exceeds the one before."""
        self._frame_ticks = frame_ticks
        self._step: int | None = None  # the least that was seen
        self._usual_step = usual_step
        self._waiting: deque[VideoPacket] = deque()  # in decode order
        self._unplaced: list[tuple[PictureOrder, int, VideoPacket]] = []  # heap
        self._unreadable: deque[tuple[int, VideoPacket]] = deque()  # those without a timestamp
        self._count = self._decoded = 0  # pictures so far, and the last one's decode timestamp
        self._times: deque[int] = deque()
        self._recent: deque[int] = deque(maxlen=_MAX_REORDERED + 1)
        self._placed: PictureOrder | None = None  # the order of the last that has a timestamp
        self._first: tuple[int, PictureOrder] | None = None  # of the sequence: its number and its order
        self._lost_sequences = 0  # sequences whose first picture was unreadable
        self._has_hole = False  # the sequence has an unreadable picture

    def add(self, packet: VideoPacket, order: PictureOrder | None) -> Iterator[VideoPacket]:
        """Add the next picture, and yield those that have their place. `order`: None if unreadable."""
        number, self._count = self._count, self._count + 1
        if packet.dts is not None:
            self._decoded = packet.dts
        elif number:
            self._decoded += self._frame_ticks
        self._times.append(self._decoded)
        self._recent.append(self._decoded)
        # Decode early enough that no picture is presented before it is decoded.
        packet.dts = self._recent[0] - (_MAX_REORDERED + 1 - len(self._recent)) * self._frame_ticks
        packet.pts = None
        self._waiting.append(packet)
        if order is None:
            self._unreadable.append((number, packet))
            self._has_hole = True
        else:
            order = self._sequenced(order, number)
            heappush(self._unplaced, (order, number, packet))
            while len(self._unplaced) > _MAX_REORDERED or self._unplaced[0][0][0] < order[0]:
                self._place_first()
        if len(self._unreadable) > _MAX_UNREADABLE:
            self._place_unreadable(len(self._unreadable))
        while self._waiting and self._waiting[0].pts is not None:
            yield self._waiting.popleft()

    def flush(self) -> Iterator[VideoPacket]:
        """Yield the remaining pictures, at the end of the recording."""
        while self._unplaced:
            self._place_first()
        self._place_unreadable(len(self._unreadable))
        yield from self._waiting

    def _sequenced(self, order: PictureOrder, number: int) -> PictureOrder:
        """Return the order, in a new sequence if the first picture of that was unreadable."""
        order = order[0] + self._lost_sequences, order[1]
        if self._first is not None and self._first[1][0] == order[0] and self._has_hole:
            # Of one sequence, pictures are decoded near their places in presentation order.
            place = self._first[0] + (order[1] - self._first[1][1]) // (self._step or self._usual_step)
            if number - place > _MAX_REORDERED:
                self._lost_sequences += 1
                order = order[0] + 1, order[1]
        if self._first is None or self._first[1][0] != order[0]:
            self._first, self._has_hole = (number, order), False
        return order

    def _place_first(self) -> None:
        """Place the first picture in presentation order, after the unreadable ones that precede it."""
        order, number, packet = heappop(self._unplaced)
        if self._unreadable:
            self._place_unreadable(self._count_before(order, number))
        if self._placed is not None and order[0] == self._placed[0] and order > self._placed:
            step = order[1] - self._placed[1]
            self._step = step if self._step is None else min(self._step, step)
        self._placed = order
        packet.pts = self._times.popleft()

    def _count_before(self, order: PictureOrder, number: int) -> int:
        """Return how many of the unreadable pictures precede this one."""
        if self._placed is None or order[0] != self._placed[0]:  # the first of its sequence
            return sum(unreadable < number for unreadable, _ in self._unreadable)
        free = (order[1] - self._placed[1]) // (self._step or self._usual_step) - 1
        return max(0, min(free, len(self._unreadable)))

    def _place_unreadable(self, count: int) -> None:
        for _ in range(count):
            self._unreadable.popleft()[1].pts = self._times.popleft()
