"""What event streams tell of batches: how far those are that go on, and how they end."""

import time
from uuid import UUID

import msgspec
from msgspec.structs import replace

from ..postgres import Database
from .queries.batches import BatchNewsItem, list_batch_news

_REPEAT = 10  # reads after which everything is told again, for clients that have just come or missed it
_LATEST_COMMIT = 3.0  # seconds after a change


class BatchNews:
    """Remembers what was told, so that only changes are."""

    def __init__(self, scenarios: Database) -> None:
        self._scenarios = scenarios
        self._told: dict[UUID, BatchNewsItem] = {}
        self._reads = 0
        self._read_at = time.monotonic()

    async def read(self) -> list[bytes]:
        """Return the events to send now. The end of a batch is among them twice: at once, and in a repeat."""
        now = time.monotonic()
        items = await list_batch_news(self._scenarios, list(self._told), now - self._read_at + _LATEST_COMMIT)
        self._read_at = now
        is_repeat = self._reads % _REPEAT == 0
        self._reads += 1
        news = [item for item in items if is_repeat or self._told.get(item.batch_id) != _comparable(item)]
        self._told = {item.batch_id: _comparable(item) for item in items if item.is_going or not is_repeat}
        return [b"event: batch\ndata: %b\n\n" % msgspec.json.encode(item) for item in news]


def _comparable(item: BatchNewsItem) -> BatchNewsItem:
    """Return what is a change: that files were looked for is none."""
    return replace(item, scanned_at=None)
