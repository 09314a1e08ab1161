"""Read the presentation order of MPEG-1 and MPEG-2 pictures from their headers (ITU-T H.262, 6.3.9)."""

from .nal_units import PictureOrder

_PICTURE, _GROUP = b"\0\0\1\0", b"\0\0\1\xb8"


class TemporalReferenceReader:
    """Derives the presentation order of a stream's pictures from its headers, in decode order."""

    def __init__(self) -> None:
        self._group = 0  # groups of pictures so far: they are presented one after the other

    def read_order(self, data: bytes) -> PictureOrder | None:
        """Return the order of the picture in a packet's data, None if it contains no readable picture."""
        place = data.find(_PICTURE)
        if place < 0 or place + 6 > len(data):
            return None
        if 0 <= data.find(_GROUP) < place:
            self._group += 1
        return self._group, data[place + 4] << 2 | data[place + 5] >> 6
