"""A wake-up call for one waiter, which a call made before the wait is not lost on."""

from anyio import Event, move_on_after


class Wake:
    """Set any number of times; one task waits."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Wake the waiter, or its next wait."""
        self._event.set()

    async def wait(self, timeout: float) -> None:
        """Return when set, at the latest after `timeout` seconds."""
        with move_on_after(timeout):
            await self._event.wait()
        self._event = Event()
