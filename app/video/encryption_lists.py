"""Count what an mp4 lists of its encryption, which FFmpeg reads although it decrypts nothing.

An mp4 of 2.4 KB with four tracks, each of which says that 20 million samples are encrypted, made it allocate
610 MiB.
"""

from .errors import VideoError

KINDS = (b"senc", b"saiz", b"pssh", b"schm", b"tenc")
"""The boxes that tell of it."""

MOST_BYTES = 17
"""Of the content of such a box that are looked at."""

BYTES_PER_SAMPLE = 480
"""That FFmpeg takes at most (measured). In the file, a sample takes two bytes, or none."""

MAX_SAMPLES = 200_000
_TOO_MANY = 2**28  # FFmpeg refuses them at once. Text is a larger number, as behind the name in "presence"
MAX_KEY_SYSTEMS = 500
"""FFmpeg copies all that it has for each further one: 8,000 took 28 s (measured)."""


class EncryptionLists:
    """Adds up what the boxes of one file list."""

    def __init__(self) -> None:
        self._listed = 0
        self._key_systems = 0
        self._is_encrypted = False

    @property
    def samples(self) -> int:
        """How many samples are listed. FFmpeg reads no list if nothing says that the file is encrypted."""
        return self._listed if self._is_encrypted else 0

    def add(self, kind: bytes, content: bytes) -> None:
        """Add a box, of which the beginning of the content is enough."""
        match kind:
            case b"schm" | b"tenc":
                self._is_encrypted = True
            case b"senc":
                self._add_samples(content[4:8])
            case b"saiz":
                place = saiz_count_at(content)
                self._add_samples(content[place : place + 4])
            case b"pssh":
                self._key_systems += 1

    def _add_samples(self, number: bytes) -> None:
        samples = int.from_bytes(number)
        if samples < _TOO_MANY:
            self._listed += samples

    def check(self, name: str) -> None:
        """Raise VideoError if FFmpeg would take too much memory or time for them."""
        if self.samples > MAX_SAMPLES or self._key_systems > MAX_KEY_SYSTEMS:
            raise VideoError(
                f"{name} lists too much about its encryption ({self.samples:,} samples, {self._key_systems:,}"
                f" systems of keys; at most {MAX_SAMPLES:,} and {MAX_KEY_SYSTEMS:,} can be read): remove the"
                " encryption with the program that has its key",
                retryable=False,
            )


def saiz_count_at(content: bytes) -> int:
    """Return where the content of a `saiz` box has its number of samples. It may name a type before."""
    return 13 if int.from_bytes(content[:4]) & 1 else 5
