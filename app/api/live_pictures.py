"""Live pictures: each is read once for all the clients of this process."""

from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic
from uuid import UUID

from anyio import Lock, sleep
from msgspec import Struct, field
from msgspec.structs import replace

from ..postgres import Database
from .queries.live_pictures import StoredLivePicture, find_live_picture, mark_watched

READ_EVERY = 0.15
"""Seconds for which what was read is answered to all clients."""

_MARK_EVERY = 2.0  # seconds
_FORGOTTEN_AFTER = 30.0  # seconds without a client
_MOST_VARIANTS = 16  # of a picture: widths and annotations that are kept


class LivePictureView(Struct, frozen=True):
    """A live picture as it was read last, and what was made of it, which all clients share."""

    stored: StoredLivePicture
    jpeg: bytes
    variants: dict[object, bytes] = field(default_factory=dict)
    making: Lock = field(default_factory=Lock)

    async def variant(self, options: object, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return what `make` makes of the picture; for the same options it is made once."""
        async with self.making:
            made = self.variants.get(options)
            if made is None:
                made = await make()
                if len(self.variants) < _MOST_VARIANTS:
                    self.variants[options] = made
            return made


class _Watched:
    def __init__(self) -> None:
        self.lock = Lock()
        self.view: LivePictureView | None = None
        self.read_at = self.marked_at = -inf
        self.asked_at = monotonic()


class LivePictures:
    """The live pictures that clients of this process look at. Nothing is done unless they ask."""

    def __init__(self, predictions: Database) -> None:
        self._predictions = predictions
        self._watched: dict[UUID, _Watched] = {}
        self.streams = 0
        """Streams of pictures that are open."""

    async def newest(
        self, scenario_id: UUID, most_age: float, patience: float, *, after: int = -1
    ) -> LivePictureView | None:
        """Return the newest picture with a frame above `after`, not older than `most_age` seconds.

        It waits up to `patience` seconds for one, and returns None if none comes.
        """
        until = monotonic() + patience
        while True:
            view = await self._read(scenario_id)
            if view is not None and view.stored.frame > after and _is_fresh(view.stored, most_age):
                return view
            if monotonic() >= until:
                return None
            await sleep(READ_EVERY)

    async def _read(self, scenario_id: UUID) -> LivePictureView | None:
        self._forget()
        entry = self._watched.setdefault(scenario_id, _Watched())
        entry.asked_at = monotonic()
        async with entry.lock:
            now = monotonic()
            if now - entry.read_at < READ_EVERY:
                return entry.view
            if now - entry.marked_at > _MARK_EVERY:
                await mark_watched(self._predictions, scenario_id)
                entry.marked_at = now
            view = entry.view
            known = (-1, -1) if view is None else (view.stored.attempt, view.stored.frame)
            stored = await find_live_picture(self._predictions, scenario_id, known)
            if stored is None:
                entry.view = None
            elif stored.jpeg is not None:
                entry.view = LivePictureView(stored, stored.jpeg)
            elif view is not None:
                entry.view = replace(view, stored=stored)
            entry.read_at = monotonic()
            return entry.view

    def _forget(self) -> None:
        before = monotonic() - _FORGOTTEN_AFTER
        for scenario_id in [each for each, entry in self._watched.items() if entry.asked_at < before]:
            del self._watched[scenario_id]


def _is_fresh(stored: StoredLivePicture, most_age: float) -> bool:
    return stored.is_of_watch and stored.age <= most_age
