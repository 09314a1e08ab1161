"""An auto-reset event for one waiting task."""

from anyio import Event, move_on_after


class Wake:
    """Set by any number of tasks; one task waits. A call before the wait is not lost."""

    def __init__(self) -> None:
        self._event = Event()

    def set(self) -> None:
        """Wake the waiting task, or end its next wait at once."""
        self._event.set()

    async def wait(self, timeout: float) -> None:
        """Return when set, at the latest after `timeout` seconds."""
        with move_on_after(timeout):
            await self._event.wait()
        self._event = Event()
