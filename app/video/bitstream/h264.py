"""Read the order and the fields of H.264 pictures from their headers (ITU-T H.264, 7.3 and 8.2.1)."""

from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Literal, NamedTuple

from ..coded import VideoPacket
from .bits import BitReader
from .nal_units import PictureOrder, find_units, length_size

_SLICES, _IDR, _SPS, _PPS = (1, 2, 5), 5, 7, 8
_HIGH_PROFILES = frozenset([44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244])
_MAX_HEADER = 256  # bytes at the beginning of a NAL unit that contain every field read here


class H264Picture(NamedTuple):
    """What the first slice of a frame or field tells. `field` is None if it is a whole frame."""

    order: PictureOrder
    frame_num: int
    field: Literal["top", "bottom"] | None


class H264PictureReader:
    """Reads a stream's pictures, in decode order."""

    def __init__(self, extradata: bytes | None) -> None:
        self._sequence_sets: dict[int, _SequenceSet] = {}
        self._picture_sets: dict[int, tuple[int, int]] = {}  # its sequence set, and if fields have own orders
        self._sequence = 0  # coded video sequences so far: they are presented one after the other
        self._previous_msb = self._previous_lsb = 0
        self._previous_frame_num = self._frame_num_offset = 0
        self._length_size = length_size("h264", extradata)
        self._has_only_frames = True
        for unit in _parameter_sets(extradata or b"", self._length_size):
            with suppress(ValueError):
                self._read_unit(unit)

    def read_picture(self, data: bytes) -> H264Picture | None:
        """Return the picture in a packet's data, None if it contains no readable one."""
        for start in find_units(data, self._length_size):
            with suppress(ValueError):
                if (picture := self._read_unit(data[start : start + _MAX_HEADER])) is not None:
                    return picture
        return None

    def read_order(self, data: bytes) -> PictureOrder | None:
        """Return the presentation order of that picture."""
        picture = self.read_picture(data)
        return picture.order if picture else None

    def read_field(self, packet: VideoPacket) -> H264Picture | None:
        """Return as `read_picture` does, but None for every picture of a stream that has only frames.

        This saves most of the work.
        """
        data = memoryview(packet) if self._length_size and packet.size else bytes(packet)
        for start in find_units(data, self._length_size):
            if self._has_only_frames and data[start] & 0x1F in _SLICES:
                return None
            with suppress(ValueError):
                if (picture := self._read_unit(bytes(data[start : start + _MAX_HEADER]))) is not None:
                    return picture
        return None

    def _read_unit(self, unit: bytes) -> H264Picture | None:
        """Return the picture to which a NAL unit belongs. Raises ValueError if it is damaged."""
        kind = unit[0] & 0x1F if unit else 0
        if kind not in _SLICES and kind not in (_SPS, _PPS):
            return None
        bits = BitReader(unit[1:])
        try:
            if unit[0] & 0x80:
                raise ValueError("a damaged header")
            if kind == _SPS:
                number, sequence_set = _read_sequence_set(unit)
                self._sequence_sets[number] = sequence_set
                self._has_only_frames = all(each.frames_only for each in self._sequence_sets.values())
            elif kind == _PPS:
                number, sequence_number = bits.read_golomb(), bits.read_golomb()
                bits.read(1)  # entropy_coding_mode_flag
                self._picture_sets[number] = sequence_number, bits.read(1)
            else:
                return self._read_slice(bits, is_idr=kind == _IDR, is_reference=unit[0] & 0x60 != 0)
        except (IndexError, KeyError) as error:
            raise ValueError("a damaged header") from error
        return None

    def _read_slice(self, bits: BitReader, *, is_idr: bool, is_reference: bool) -> H264Picture:
        bits.read_golomb()  # first_mb_in_slice
        if bits.read_golomb() > 9:  # slice_type
            raise ValueError("a damaged header")
        sequence_number, has_own_orders = self._picture_sets[bits.read_golomb()]
        stream = self._sequence_sets[sequence_number]
        bits.read(2 * stream.has_separate_planes)
        frame_num = bits.read(stream.frame_num_bits)
        is_field = not stream.frames_only and bits.read(1) == 1
        is_bottom = is_field and bits.read(1) == 1
        if is_idr:
            bits.read_golomb()  # idr_pic_id
            self._sequence += 1
            self._previous_msb = self._previous_lsb = self._frame_num_offset = 0
        elif frame_num < self._previous_frame_num:
            self._frame_num_offset += 1 << stream.frame_num_bits
        self._previous_frame_num = frame_num
        count = self._frame_num_offset + frame_num
        match stream.order_type:
            case 0:
                lsb = bits.read(stream.order_bits)
                delta = bits.read_signed_golomb() if has_own_orders and not is_field else 0
                order = self._order_of(lsb, stream.order_bits, is_reference=is_reference) + min(0, delta)
            case 1:
                order = _predicted_order(stream, count, is_reference=is_reference)
                if not stream.always_zero:
                    order += bits.read_signed_golomb()
                if is_bottom:
                    order += stream.bottom_offset
            case _:
                order = 2 * count - (not is_reference)
        field: Literal["top", "bottom"] | None = None
        if is_field:
            field = "bottom" if is_bottom else "top"
        return H264Picture((self._sequence, order), frame_num, field)

    def _order_of(self, lsb: int, order_bits: int, *, is_reference: bool) -> int:
        size = 1 << order_bits
        msb = self._previous_msb
        if lsb < self._previous_lsb and self._previous_lsb - lsb >= size // 2:
            msb += size
        elif lsb > self._previous_lsb and lsb - self._previous_lsb > size // 2:
            msb -= size
        if is_reference:
            self._previous_msb, self._previous_lsb = msb, lsb
        return msb + lsb


class _SequenceSet(NamedTuple):
    has_separate_planes: int
    frame_num_bits: int
    order_type: int
    order_bits: int
    always_zero: int
    non_reference_offset: int
    bottom_offset: int
    cycle: tuple[int, ...]
    frames_only: int


@lru_cache(maxsize=32)  # recordings of one camera have the same
def _read_sequence_set(unit: bytes) -> tuple[int, _SequenceSet]:
    bits = BitReader(unit[1:])
    profile = bits.read(8)
    bits.read(16)  # constraints and level
    number = bits.read_golomb()
    has_separate_planes = 0
    if profile in _HIGH_PROFILES:
        chroma = bits.read_golomb()
        has_separate_planes = bits.read(1) if chroma == 3 else 0
        bits.read_golomb(), bits.read_golomb()  # bit depths
        bits.read(1)
        if bits.read(1):
            for n in range(12 if chroma == 3 else 8):
                if bits.read(1):
                    _skip_scaling_list(bits, 16 if n < 6 else 64)
    frame_num_bits = bits.read_golomb() + 4
    order_type = bits.read_golomb()
    order_bits = always_zero = non_reference = bottom = 0
    cycle: tuple[int, ...] = ()
    if order_type == 0:
        order_bits = bits.read_golomb() + 4
    elif order_type == 1:
        always_zero = bits.read(1)
        non_reference, bottom = bits.read_signed_golomb(), bits.read_signed_golomb()
        cycle = tuple(bits.read_signed_golomb() for _ in range(min(bits.read_golomb(), 255)))
    if frame_num_bits > 16 or order_bits > 16 or order_type > 2:
        raise ValueError("a damaged header")
    bits.read_golomb(), bits.read(1)  # max_num_ref_frames, gaps_in_frame_num_value_allowed_flag
    bits.read_golomb(), bits.read_golomb()  # width and height
    return number, _SequenceSet(
        has_separate_planes, frame_num_bits, order_type, order_bits, always_zero, non_reference, bottom,
        cycle, bits.read(1),
    )  # fmt: skip


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.read_signed_golomb()) % 256
        last = following or last


def _predicted_order(stream: _SequenceSet, count: int, *, is_reference: bool) -> int:
    """Return the order of a picture of type 1 as far as it follows from its number (8.2.1.2)."""
    number = count if stream.cycle else 0
    if not is_reference and number > 0:
        number -= 1
    order = 0
    if number > 0:
        cycles, rest = divmod(number - 1, len(stream.cycle))
        order = cycles * sum(stream.cycle) + sum(stream.cycle[: rest + 1])
    return order if is_reference else order + stream.non_reference_offset


def _parameter_sets(extradata: bytes, size: int) -> Iterator[bytes]:
    """Yield the NAL units in the extradata: a byte stream, or an AVCDecoderConfigurationRecord."""
    if not size:
        for start in find_units(extradata, 0):
            yield extradata[start : start + _MAX_HEADER]
        return
    offset = 5
    for mask in (0x1F, 0xFF):
        count = extradata[offset] & mask if offset < len(extradata) else 0
        offset += 1
        for _ in range(count):
            length = int.from_bytes(extradata[offset : offset + 2])
            yield extradata[offset + 2 : offset + 2 + min(length, _MAX_HEADER)]
            offset += 2 + length
