"""Look-ups that many share: whoever asks while one is under way has a part in the next."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from anyio import CancelScope, Event, current_time

_PATIENCE = 0.05  # seconds that a look-up waits for the one before

Key = TypeVar("Key")
Value = TypeVar("Value")


class _Round(Generic[Key, Value]):
    """Those who ask together: the first of them asks for all, and if it is cancelled, another does."""

    def __init__(self) -> None:
        self.keys: set[Key] = set()
        self.is_led = False
        self.found: Mapping[Key, Value] | None = None
        self.error: Exception | None = None
        self._left: Event | None = None

    async def is_left(self) -> None:
        """Return once nobody leads it any more: it has ended, or its leader was cancelled."""
        if self._left is None:
            self._left = Event()
        await self._left.wait()

    def leave(self) -> None:
        """Nobody leads it any more."""
        self.is_led = False
        if self._left is not None:
            self._left.set()
            self._left = None


class Shared(Generic[Key, Value]):
    """What `look_up` finds for many keys at once, for those who ask for one each.

    Whatever is found was read after it was asked for. A look-up that hangs holds up nobody but its own round.
    """

    def __init__(self, look_up: Callable[[set[Key]], Awaitable[Mapping[Key, Value]]]) -> None:
        self._look_up = look_up
        self._gathering: _Round[Key, Value] = _Round()
        self._under_way: _Round[Key, Value] | None = None

    async def find(self, key: Key) -> Value | None:
        """What there is for the key. Raises what the look-up raised."""
        joined = self._gathering
        joined.keys.add(key)
        while joined.found is None:
            if joined.error is not None:
                raise joined.error
            if joined.is_led:
                await joined.is_left()
            else:
                await self._lead(joined)
        return joined.found.get(key)

    async def _lead(self, joined: _Round[Key, Value]) -> None:
        joined.is_led = True
        try:
            if self._under_way is not None:
                with CancelScope(deadline=current_time() + _PATIENCE):
                    await self._under_way.is_left()
            if joined is self._gathering:
                self._gathering = _Round()
            self._under_way = joined
            joined.found = await self._look_up(joined.keys)
        except Exception as error:
            joined.error = error  # for each of them to raise
        finally:
            if self._under_way is joined:
                self._under_way = None
            joined.leave()
