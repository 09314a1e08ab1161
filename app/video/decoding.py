"""Decoding no more of a recording than the frames asked for need, without changing a bit of them."""

from collections import deque
from collections.abc import Iterator

from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from .packets import Coded, Packet

_MOST_BYTES = 64 * 2**20
"""Packets kept in case they are needed; past it the oldest are decoded in any case."""

_LATE = 32
"""A frame that has not come once a picture so much later has never will: decoders hold back at most 16."""


class LazyDecoder:
    """Holds packets back until a frame that needs them is wanted, and drops them once none can be.

    Decoding then begins at a clean key frame, or else at the key frame before the last one, since what
    follows a key frame may lean on pictures before it. With `keys_only`, each is decoded by itself.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self._context = context
        self._keys_only = False
        self._begun = 0  # pictures that were fed before anybody knew which would be wanted
        self._waiting: deque[tuple[Coded, Packet]] = deque()
        self._waiting_bytes = 0
        self._gap = False  # packets were dropped since the last one that was fed
        self._fed: dict[int, Coded] = {}  # fed, not delivered
        self._newest = -1  # delivered
        self._key = -1  # the last settled key frame
        self._awaited: deque[Coded] = deque()

    def begin(self, coded: Coded, packet: Packet) -> None:
        """Decode the recording's next picture in file order, whether or not it will be wanted."""
        self._begun = coded.number + 1
        self._feed(coded, packet)

    def choose(self, *, from_start: bool, keys_only: bool) -> None:
        """What is asked for, before anything is added. What has begun goes on only from the start: there the
        first picture is wanted."""
        self._keys_only = keys_only
        if not from_start:
            self._context.flush_buffers()
            self._fed.clear()
            self._begun, self._newest = 0, -1

    def add(self, coded: Coded, packet: Packet) -> None:
        """Take the next packet in file order."""
        if coded.number < self._begun:
            return
        self._waiting.append((coded, packet))
        self._waiting_bytes += packet.size
        while self._waiting_bytes > _MOST_BYTES:
            self._feed_through(self._waiting[0][0].number)
        if self._is_held_back():
            self._feed_through(coded.number)

    def settle(self, coded: Coded, *, wanted: bool) -> None:
        """Say whether a picture is wanted; called for each in the order shown."""
        coded.wanted = wanted
        if coded.key:
            self._drop_before(coded.number if coded.clean or self._keys_only else self._key)
            self._key = coded.number
        if wanted:
            self._awaited.append(coded)
            self._feed_through(coded.number)
        else:
            coded.frame = None

    def finish(self) -> None:
        """There are no more packets: what is awaited comes now or never."""
        self._drain()

    @property
    def awaited(self) -> Coded | None:
        """The first picture that is wanted and was not taken yet."""
        return self._awaited[0] if self._awaited else None

    def take(self) -> Iterator[Coded]:
        """The wanted pictures that are ready, in order; one that could not be decoded has no `frame`."""
        while self._awaited:
            coded = self._awaited[0]
            if coded.frame is None and coded.number in self._fed and coded.number + _LATE >= self._newest:
                return
            yield self._awaited.popleft()

    def _is_held_back(self) -> bool:
        """Whether the first picture is in the decoder, which gives it out once it has some more: somebody
        waits for it. Later ones come with the next that is wanted."""
        awaited = self.awaited
        return self._newest < 0 and awaited is not None and awaited.number in self._fed

    def _drop_before(self, number: int) -> None:
        while self._waiting:
            coded, packet = self._waiting[0]
            if coded.number >= number or (coded.shown and coded.wanted is None):
                return
            self._waiting.popleft()
            self._waiting_bytes -= packet.size
            self._gap = True

    def _feed_through(self, number: int) -> None:
        while self._waiting and self._waiting[0][0].number <= number:
            coded, packet = self._waiting.popleft()
            self._waiting_bytes -= packet.size
            if self._gap or (self._keys_only and not coded.clean):
                self._drain()
                self._context.flush_buffers()
                self._gap = False
            self._feed(coded, packet)

    def _feed(self, coded: Coded, packet: Packet) -> None:
        # The decoder hands a packet's timestamp to the frame it makes of it: that tells which one it is.
        packet.pts = packet.dts = coded.number
        self._fed[coded.number] = coded
        self._decode(packet)

    def _drain(self) -> None:
        if self._context.is_open:
            self._decode(None)
        self._fed.clear()

    def _decode(self, packet: "Packet | None") -> None:
        try:
            frames = self._context.decode(packet)
        except FFmpegError:
            return  # the frame it is about stays away, which shows which one it is
        for frame in frames:
            coded = self._fed.pop(frame.pts, None) if frame.pts is not None else None
            if coded is None:
                continue
            if coded.wanted is not False:
                coded.frame = frame
            self._newest = max(self._newest, coded.number)
        for number in list(self._fed):
            if number + 2 * _LATE >= self._newest:
                break
            del self._fed[number]
