"""Read the presentation order of H.265 pictures from their headers (ITU-T H.265, 7.3 and 8.3.1)."""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from .bits import BitReader
from .nal_units import PictureOrder, find_units, length_size

# Types of NAL units. IRAP: pictures at which decoding may start; BLA: those after a broken link.
_SLICES, _IRAP, _BLA = range(32), range(16, 24), range(16, 19)
_IDR, _CRA, _LEADING = (19, 20), 21, range(6, 10)
_SPS, _PPS, _END_OF_SEQUENCE = 33, 34, (36, 37)

_MAX_HEADER = 256  # bytes at the beginning of a NAL unit that contain every field read here


class PictureOrderCounter:
    """Derives the presentation order of a stream's pictures from its NAL units, in decode order."""

    def __init__(self, extradata: bytes | None) -> None:
        self._sequence_sets: dict[int, _SequenceParameterSet] = {}
        self._picture_sets: dict[int, _PictureParameterSet] = {}
        self._sequence = 0  # coded video sequences so far: they are presented one after the other
        self._previous_count = 0  # of the picture that the next counts are relative to (prevTid0Pic)
        self._is_start = True  # of a sequence: nothing came before, or the previous sequence ended
        self._length_size = length_size("hevc", extradata)
        for unit in _parameter_sets(extradata or b"", self._length_size):
            with suppress(ValueError):
                self.read_unit(unit)

    def read_order(self, data: bytes) -> PictureOrder | None:
        """Return the order of the picture in a packet's data, None if it contains no readable picture."""
        for start in find_units(data, self._length_size):
            with suppress(ValueError):
                if (order := self.read_unit(data[start : start + _MAX_HEADER])) is not None:
                    return order
        return None

    def read_unit(self, unit: bytes) -> PictureOrder | None:
        """Return the order of the picture that a NAL unit begins, None if it begins none.

        Raises:
            ValueError: the unit is damaged, or refers to a parameter set that is missing.
        """
        if len(unit) < 3:
            return None
        kind, layer = unit[0] >> 1 & 0x3F, (unit[0] & 1) << 5 | unit[1] >> 3
        if kind in _END_OF_SEQUENCE:
            self._is_start = True
        if layer or (kind not in _SLICES and kind not in (_SPS, _PPS)):
            return None
        bits = BitReader(unit[2:])
        try:
            if kind == _SPS:
                number, sequence_set = _read_sequence_set(bits)
                self._sequence_sets[number] = sequence_set
            elif kind == _PPS:
                number = bits.read_golomb()
                self._picture_sets[number] = _PictureParameterSet(
                    bits.read_golomb(), bits.read(1), bits.read(1), bits.read(3)
                )
            else:
                return self._read_slice(kind, unit[1] & 7, bits)
        except (IndexError, KeyError) as error:
            raise ValueError("a damaged header") from error
        return None

    def _read_slice(self, kind: int, temporal_id_plus1: int, bits: BitReader) -> PictureOrder | None:
        if not bits.read(1):
            return None  # not the first slice of its picture
        if kind in _IRAP:
            bits.read(1)  # no_output_of_prior_pics_flag
        picture_set = self._picture_sets[bits.read_golomb()]
        sequence_set = self._sequence_sets[picture_set.sequence_set]
        bits.read(picture_set.extra_header_bits)
        bits.read_golomb()  # slice_type
        bits.read(picture_set.has_output_flag + 2 * sequence_set.has_separate_planes)
        low = 0 if kind in _IDR else bits.read(sequence_set.count_bits)
        if kind in _IDR or kind in _BLA or (kind == _CRA and self._is_start):
            self._sequence += 1
            count = low
        else:
            size = 1 << sequence_set.count_bits
            count = self._previous_count - self._previous_count % size + low
            if count - self._previous_count > size // 2:
                count -= size
            elif self._previous_count - count >= size // 2:
                count += size
        self._is_start = False
        # Counts are not relative to leading pictures or sub-layer non-reference pictures (even types < 16).
        if temporal_id_plus1 == 1 and kind not in _LEADING and (kind >= 16 or kind % 2):
            self._previous_count = count
        return self._sequence, count


def _parameter_sets(extradata: bytes, size: int) -> Iterator[bytes]:
    """Yield the NAL units in the extradata: a byte stream, or an HEVCDecoderConfigurationRecord."""
    if not size:
        for start in find_units(extradata, 0):
            yield extradata[start : start + _MAX_HEADER]
        return
    offset = 23
    while offset + 3 <= len(extradata):
        count = int.from_bytes(extradata[offset + 1 : offset + 3])
        offset += 3
        for _ in range(count):
            length = int.from_bytes(extradata[offset : offset + 2])
            yield extradata[offset + 2 : offset + 2 + min(length, _MAX_HEADER)]
            offset += 2 + length


class _SequenceParameterSet(NamedTuple):
    count_bits: int  # log2_max_pic_order_cnt_lsb
    has_separate_planes: int


class _PictureParameterSet(NamedTuple):
    sequence_set: int
    has_dependent_slices: int
    has_output_flag: int
    extra_header_bits: int


def _read_sequence_set(bits: BitReader) -> tuple[int, _SequenceParameterSet]:
    bits.read(4)
    sub_layers = bits.read(3)  # beyond the first
    bits.read(1 + 88 + 8)
    present = [(bits.read(1), bits.read(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.read(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)
    number = bits.read_golomb()
    has_separate_planes = bits.read(1) if bits.read_golomb() == 3 else 0
    bits.read_golomb(), bits.read_golomb()  # width and height
    if bits.read(1):
        for _ in range(4):
            bits.read_golomb()  # cropping
    bits.read_golomb(), bits.read_golomb()  # bit depths
    count_bits = bits.read_golomb() + 4
    if count_bits > 16:
        raise ValueError("a damaged header")
    return number, _SequenceParameterSet(count_bits, has_separate_planes)
