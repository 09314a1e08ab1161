"""Connections that change a part of each statement on its way to the database."""

from collections.abc import Mapping
from typing import Any, cast

from app.postgres import Connection


class _Rewriting:
    def __init__(self, connection: Connection, parts: Mapping[str, str]) -> None:
        self._connection = connection
        self._parts = parts

    async def fetch(self, query: str, *values: object) -> Any:
        return await self._connection.fetch(self._rewritten(query), *values)

    async def fetchrow(self, query: str, *values: object) -> Any:
        return await self._connection.fetchrow(self._rewritten(query), *values)

    async def fetchval(self, query: str, *values: object) -> Any:
        return await self._connection.fetchval(self._rewritten(query), *values)

    def _rewritten(self, query: str) -> str:
        for part, other in self._parts.items():
            assert part in query, f"the statement has no {part!r} any more"
            query = query.replace(part, other)
        return query


def rewriting(connection: Connection, parts: Mapping[str, str]) -> Connection:
    """Return the connection with these parts of each statement replaced. A missing part fails."""
    return cast("Connection", _Rewriting(connection, parts))
