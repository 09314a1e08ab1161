"""What happens in all videos from now on, for event streams."""

from collections import deque

from anyio import current_time

from ..postgres import Database
from .queries.event_news import EventKey, list_ended, list_later, list_open, read_last_order
from .queries.events import StoredEvent

_LIMIT = 1000  # new events in one reading
_PATIENCE = 10.0  # seconds after which a transaction that stores events has ended


class EventFeed:
    """Reads events when they are new, and again when they have ended or were interrupted.

    A number in the order of storing may become visible after a higher one, because it is drawn before its
    transaction commits. So the latest seconds are read again, without what was read.
    """

    def __init__(self, predictions: Database) -> None:
        self._predictions = predictions
        self._begin = 0  # everything up to this number in the order of storing was read
        self._read: deque[tuple[float, int]] = deque()  # when later ones were read
        self._open: set[EventKey] = set()

    async def begin(self) -> None:
        """Take everything that is there as read."""
        self._begin = await read_last_order(self._predictions)
        self._open = await list_open(self._predictions)

    async def read(self) -> list[StoredEvent]:
        """Return the events that are new, and those that have ended since they were read."""
        ended = await list_ended(self._predictions, self._open)
        numbers = [number for _, number in self._read]
        new = await list_later(self._predictions, self._begin, numbers, _LIMIT)
        now = current_time()
        self._read.extend((now, number) for number, _ in new)
        while self._read and self._read[0][0] < now - _PATIENCE:
            self._begin = max(self._begin, self._read.popleft()[1])
        events = [event for _, event in new]
        self._open -= ended.keys()
        self._open.update((event.scenario_id, event.event_id) for event in events if event.state == "open")
        return [event for event in ended.values() if event is not None] + events
