"""Read the headers of NAL units bit by bit."""


class BitReader:
    """Reads the payload of a NAL unit. Raises IndexError after the end."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\0\0\3", b"\0\0")  # emulation prevention bytes
        self._value = int.from_bytes(data)
        self._bits_left = 8 * len(data)

    def read(self, count: int) -> int:
        """Return the next `count` bits as a number."""
        self._bits_left -= count
        if self._bits_left < 0:
            raise IndexError
        return self._value >> self._bits_left & (1 << count) - 1

    def read_golomb(self) -> int:
        """Return the next Exp-Golomb coded number."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def read_signed_golomb(self) -> int:
        """Return the next Exp-Golomb coded number that has a sign."""
        number = self.read_golomb()
        return (number + 1) // 2 if number % 2 else -(number // 2)
