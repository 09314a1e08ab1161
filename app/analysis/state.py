"""What analysis knows between two frames, and how it is saved."""

from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct, structs

from ..domain.analysis import Point
from .lines import Passage
from .stays import SavedStay, Stay
from .tracking.state import TrackerState

VERSION = 2
"""Rises with each change after which the same frames would give another state, or other events."""

_HEADER = 6  # bytes: two for the version, four for the checksum


class UnreadableStateError(ValueError):
    """A saved state of analysis is damaged, or of a version that is not known."""


class SavedObject(Struct, array_like=True):
    """An object as it is saved: the arguments of `ObservedObject`."""

    stay: Stay
    visits: dict[str, Stay]
    passages: dict[str, Passage]
    place: Point | None


class ObservedObject:
    """One object: its stay in the picture, its open visits by zone, its passages by line, its last place."""

    __slots__ = SavedObject.__struct_fields__

    def __init__(
        self,
        stay: Stay,
        visits: dict[str, Stay] | None = None,
        passages: dict[str, Passage] | None = None,
        place: Point | None = None,
    ) -> None:
        self.stay = stay
        self.visits = visits or {}
        self.passages = passages or {}
        self.place = place


@dataclass(slots=True)
class AnalysisState:
    """Everything on which the next frame's result depends, besides the rules.

    `unseen`: for objects with stored track ids, the seconds for which each was not found. The last three say
    which bounds were met.
    """

    next_track_id: int
    next_event_id: int
    cooldowns: dict[str, float]
    time: float | None = None
    tracker: TrackerState | None = None
    unseen: dict[int, float] = field(default_factory=dict)
    objects: dict[int, ObservedObject] = field(default_factory=dict)
    presences: dict[str, Stay] = field(default_factory=dict)
    had_too_many_tracks: bool = False
    had_too_many_labels: bool = False
    had_unknown_size: bool = False


_SAVED: dict[type, type[Struct]] = {Stay: SavedStay, ObservedObject: SavedObject}
"""How msgspec saves what it does not know."""


def _encode(value: Any) -> list[Any]:
    return [getattr(value, name) for name in _SAVED[type(value)].__struct_fields__]


def _decode(kind: type, values: Any) -> Any:
    return kind(*structs.astuple(msgspec.convert(values, _SAVED[kind], dec_hook=_decode)))


_encoder = msgspec.msgpack.Encoder(enc_hook=_encode)
_decoder = msgspec.msgpack.Decoder(AnalysisState, dec_hook=_decode)


def encode_state(state: AnalysisState) -> bytes:
    """Return the state with its version and a checksum."""
    body = _encoder.encode(state)
    return VERSION.to_bytes(2, "big") + crc32(body).to_bytes(4, "big") + body


def decode_state(saved: bytes) -> AnalysisState:
    """Return a saved state. Raises UnreadableStateError."""
    version, checksum, body = saved[:2], saved[2:_HEADER], saved[_HEADER:]
    if version != VERSION.to_bytes(2, "big"):
        number = int.from_bytes(version, "big")
        raise UnreadableStateError(f"the state of analysis is of version {number}, and not of {VERSION}")
    if checksum != crc32(body).to_bytes(4, "big"):
        raise UnreadableStateError("the state of analysis is damaged: its checksum is wrong")
    try:
        return _decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise UnreadableStateError(f"the state of analysis is damaged: {error}") from error
