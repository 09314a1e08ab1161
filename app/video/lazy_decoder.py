"""Decode only what the wanted frames of a recording need, with the same result as decoding everything."""

from collections import deque
from collections.abc import Iterator

from av.error import FFmpegError
from av.packet import PacketSideData, PktSideDataT
from av.video.codeccontext import VideoCodecContext

from .coded import CodedPicture, VideoPacket

_MAX_HELD_BYTES = 64 * 2**20
"""Of the packets that may still be needed. If they are more, the oldest are decoded."""

_MAX_DELAY = 32
"""A frame that has not come 32 pictures later never comes: decoders delay at most 16."""

_CHANGES: tuple[PktSideDataT, ...] = ("new_extradata", "param_change", "palette")
"""What a packet says of itself and of all that follow, such as the parameter sets of FLV."""

_MAX_SETUPS = 64
"""Packets without a picture that are decoded although the pictures behind them are dropped: the last ones."""

_MAX_PENDING = 1000
"""Pictures that may wait for their frames while no other frame comes, as in a file that cannot be decoded."""


class LazyDecoder:
    """Holds packets until a frame that needs them is wanted, and drops them when none can need them.

    Decoding then starts at a key frame of a closed GOP, or else at the last but one key frame, because
    pictures after an open GOP's key frame may be predicted from pictures before it. If only key frames are
    wanted, each is decoded alone.
    """

    def __init__(self, context: VideoCodecContext) -> None:
        self._context = context
        self._keys_only = False
        self._decoded_early = 0  # pictures that were decoded before it was known which are wanted
        self._held: deque[tuple[CodedPicture, VideoPacket]] = deque()
        self._held_bytes = 0
        self._has_gap = False  # packets were dropped after the last one that was decoded
        self._changes: dict[PktSideDataT, PacketSideData] = {}  # that dropped packets had
        self._setups = deque[VideoPacket](maxlen=_MAX_SETUPS)  # dropped packets that change how to decode
        self._pending: dict[int, CodedPicture] = {}  # sent to the decoder, which has not returned a frame
        self._newest = -1  # number of the newest picture with a frame
        self._last_key = -1  # number of the last key frame in presentation order
        self._wanted: deque[CodedPicture] = deque()

    def decode_early(self, picture: CodedPicture, packet: VideoPacket) -> None:
        """Decode the recording's next picture, before it is known whether it is wanted."""
        self._decoded_early = picture.number + 1
        self._send(picture, packet)

    def start(self, *, from_beginning: bool, keys_only: bool) -> None:
        """Say what will be wanted, before the first picture is added.

        Pictures that were decoded early are kept only if reading starts at the beginning, where the first
        picture is wanted.
        """
        self._keys_only = keys_only
        if not from_beginning:
            self._context.flush_buffers()
            self._pending.clear()
            self._decoded_early, self._newest = 0, -1

    def add(self, picture: CodedPicture, packet: VideoPacket) -> None:
        """Add the next picture in decode order."""
        if picture.number < self._decoded_early:
            return
        self._held.append((picture, packet))
        self._held_bytes += packet.size
        while self._held_bytes > _MAX_HELD_BYTES:
            self._decode_through(self._held[0][0].number)
        if self._awaits_first():
            self._decode_through(picture.number)

    def set_wanted(self, picture: CodedPicture, *, is_wanted: bool) -> None:
        """Say whether a picture is wanted. Call it for each candidate, in presentation order."""
        picture.is_wanted = is_wanted
        if picture.is_key:
            is_start = picture.starts_closed_gop or self._keys_only
            self._drop_before(picture.number if is_start else self._last_key)
            self._last_key = picture.number
        if is_wanted:
            self._wanted.append(picture)
            self._decode_through(picture.number)
        else:
            picture.frame = None

    def flush(self) -> None:
        """Get the remaining frames from the decoder: there are no more packets."""
        if self._context.is_open:
            self._decode(None)
        self._pending.clear()

    @property
    def next_wanted(self) -> CodedPicture | None:
        """The first wanted picture that was not taken yet."""
        return self._wanted[0] if self._wanted else None

    def take_ready(self) -> Iterator[CodedPicture]:
        """Yield the wanted pictures that are ready, in order. One that was not decoded has no `frame`."""
        while self._wanted:
            picture = self._wanted[0]
            is_pending = picture.number in self._pending and picture.number + _MAX_DELAY >= self._newest
            if picture.frame is None and is_pending and len(self._wanted) <= _MAX_PENDING:
                return
            yield self._wanted.popleft()

    def _awaits_first(self) -> bool:
        """Return whether the first wanted picture is inside the decoder, which needs more packets for it.

        The next wanted picture pushes out a later one, but for the first one a caller waits now.
        """
        first = self.next_wanted
        return self._newest < 0 and first is not None and first.number in self._pending

    def _drop_before(self, number: int) -> None:
        while self._held:
            picture, packet = self._held[0]
            if picture.number >= number or (picture.is_shown and picture.is_wanted is None):
                return
            self._held.popleft()
            self._held_bytes -= packet.size
            self._has_gap = True
            if picture.is_setup:
                self._setups.append(packet)
            for kind in _CHANGES:
                if packet.has_sidedata(kind):
                    self._changes[kind] = packet.get_sidedata(kind)

    def _decode_through(self, number: int) -> None:
        while self._held and self._held[0][0].number <= number:
            picture, packet = self._held.popleft()
            self._held_bytes -= packet.size
            # Damage that comes later is repaired with what is left in the decoder, which must not depend on
            # where reading began.
            if self._has_gap or picture.starts_closed_gop or self._keys_only:
                self.flush()
                self._context.flush_buffers()
                self._has_gap = False
            while self._setups:
                self._decode(self._setups.popleft())
            self._send(picture, packet)

    def _send(self, picture: CodedPicture, packet: VideoPacket) -> None:
        # The decoder copies the packet's timestamp to the frame, so the number tells which picture it is.
        packet.pts = packet.dts = picture.number
        for kind, change in self._changes.items():
            if not packet.has_sidedata(kind):
                packet.set_sidedata(change)
        self._changes.clear()
        self._pending[picture.number] = picture
        if len(self._pending) > _MAX_PENDING:
            del self._pending[next(iter(self._pending))]
        is_decoded = self._decode(packet)
        if picture.is_key and not picture.is_shown:  # no frame of it comes out of the decoder
            picture.group.has_key = is_decoded

    def _decode(self, packet: "VideoPacket | None") -> bool:
        """Return whether the packet could be decoded. If not, its picture stays pending and gets no frame."""
        try:
            frames = self._context.decode(packet)
        except FFmpegError:
            return False
        for frame in frames:
            picture = self._pending.pop(frame.pts, None) if frame.pts is not None else None
            if picture is None:
                continue
            if picture.is_key and not frame.is_corrupt:
                picture.group.has_key = True
            if picture.is_wanted is not False:
                picture.frame = frame
            self._newest = max(self._newest, picture.number)
        while self._pending and (number := next(iter(self._pending))) + 2 * _MAX_DELAY < self._newest:
            del self._pending[number]
        return True
