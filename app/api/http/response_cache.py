"""Cache of JSON responses about completed scenarios.

What a completed scenario has stored is final: its last batch closed its checkpoint, no later write passes
that, and ids are never reused. So a cached response is valid as long as the scenario's row says that it is
completed. The routes read that row for every request.
"""

from collections import OrderedDict, defaultdict
from uuid import UUID

MAX_SIZE = 64 * 2**20
"""Bytes of all entries."""

_OVERHEAD = 1000  # bytes of an entry besides its query and body


class ResponseCache:
    """A least-recently-used cache of at most `max_size` bytes. Keys are a scenario and a query about it."""

    def __init__(self, max_size: int = MAX_SIZE) -> None:
        self._max_size = max_size
        self._size = 0
        self._bodies: OrderedDict[tuple[UUID, bytes], bytes] = OrderedDict()
        self._queries: defaultdict[UUID, set[bytes]] = defaultdict(set)

    def get(self, scenario_id: UUID, query: bytes) -> bytes | None:
        """Return the cached body, or None."""
        body = self._bodies.get((scenario_id, query))
        if body is not None:
            self._bodies.move_to_end((scenario_id, query))
        return body

    def put(self, scenario_id: UUID, query: bytes, body: bytes) -> None:
        """Add a body, and evict those that were not used for longest."""
        if (scenario_id, query) in self._bodies:
            return
        self._bodies[scenario_id, query] = body
        self._queries[scenario_id].add(query)
        self._size += len(query) + len(body) + _OVERHEAD
        while self._size > self._max_size:
            self._remove(*next(iter(self._bodies)))

    def evict(self, scenario_id: UUID) -> None:
        """Remove every entry of a scenario that is deleted or started again, to make room."""
        for query in tuple(self._queries.get(scenario_id, ())):
            self._remove(scenario_id, query)

    def _remove(self, scenario_id: UUID, query: bytes) -> None:
        self._size -= len(query) + len(self._bodies.pop((scenario_id, query))) + _OVERHEAD
        queries = self._queries[scenario_id]
        queries.remove(query)
        if not queries:
            del self._queries[scenario_id]
