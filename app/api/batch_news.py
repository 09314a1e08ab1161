"""What event streams tell of batches: how far those are that go on, and how they end."""

from uuid import UUID

import msgspec
from msgspec.structs import replace

from ..postgres import Database
from .queries.batches import BatchNewsItem, list_batch_news

_REPEAT = 10  # reads after which everything is told again, for clients that have just come


class BatchNews:
    """Remembers what was told, so that only changes are."""

    def __init__(self, scenarios: Database) -> None:
        self._scenarios = scenarios
        self._told: dict[UUID, BatchNewsItem] = {}
        self._reads = 0

    async def read(self) -> list[bytes]:
        """Return the events to send now."""
        going = [item.batch_id for item in self._told.values() if item.is_going]
        items = await list_batch_news(self._scenarios, going)
        told = {} if self._reads % _REPEAT == 0 else self._told
        self._reads += 1
        news = [item for item in items if told.get(item.batch_id) != _comparable(item)]
        self._told = {item.batch_id: _comparable(item) for item in items}
        return [b"event: batch\ndata: %b\n\n" % msgspec.json.encode(item) for item in news]


def _comparable(item: BatchNewsItem) -> BatchNewsItem:
    """Return what is a change: that files were looked for is none."""
    return replace(item, scanned_at=None)
