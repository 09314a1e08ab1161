"""Compare the packets of an AVI with its index, which lists every picture."""

from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter
from typing import cast

import av
from av.video.stream import VideoStream

from .coded import VideoPacket

_CHUNK_HEADER = 8  # bytes between where the index says that a chunk begins, and its data


def count_pictures(stream: VideoStream) -> int:
    """Return how many entries of the index are pictures, 0 if there is no index."""
    return sum(entry.size > 0 for entry in stream.index_entries)


def last_time(stream: VideoStream) -> int:
    """Return the timestamp of the last entry, -1 if there is none.

    Without an index, FFmpeg lists what it read so far.
    """
    entries = stream.index_entries
    return entries[len(entries) - 1].timestamp if len(entries) else -1


class AviIndex:
    """Finds out which pictures the demuxer skipped. An AVI that was cut off has no index.

    `has_unlisted`: a packet was not in the index, so that its time was counted by FFmpeg.
    """

    def __init__(self, stream: VideoStream, *, is_whole: bool = True) -> None:
        """`is_whole`: reading begins with the first picture of the file."""
        self.has_unlisted = False
        self._entries = stream.index_entries
        self._length = len(self._entries)  # FFmpeg may add those that it finds
        self._next = self._seen = 0  # the first entry without a packet, and the first not looked at
        self._has_begun = is_whole

    def skipped_before(self, packet: VideoPacket) -> Iterator[VideoPacket]:
        """Yield a packet of 0 bytes for each picture skipped, and give this packet its own timestamp.

        FFmpeg counts the packets that it finds, so after a skipped one it gives each the time of another.
        """
        if packet.pos is None:
            self.has_unlisted = True
            return
        if not self._has_begun:
            start = packet.pos - _CHUNK_HEADER
            self._next = self._seen = bisect_left(
                self._entries, start, hi=self._length, key=attrgetter("pos")
            )
            self._has_begun = True
        while self._seen < self._length:
            entry = self._entries[self._seen]
            if entry.pos + _CHUNK_HEADER > packet.pos:
                break
            self._seen += 1
            if entry.pos + _CHUNK_HEADER == packet.pos:
                yield from self._skip_to(self._seen - 1)
                self._next += 1
                if packet.pts is not None and packet.dts is not None:
                    packet.pts += entry.timestamp - packet.dts
                packet.dts = entry.timestamp
                return
        self.has_unlisted = True

    def skipped_at_end(self) -> Iterator[VideoPacket]:
        """Yield a packet of 0 bytes for each picture after the last packet."""
        return self._skip_to(self._length)

    def _skip_to(self, number: int) -> Iterator[VideoPacket]:
        while self._next < number:
            entry = self._entries[self._next]
            self._next += 1
            if entry.size:  # an entry of 0 bytes repeats the picture before
                packet = cast("VideoPacket", av.Packet(0))
                packet.pts = packet.dts = entry.timestamp
                yield packet
