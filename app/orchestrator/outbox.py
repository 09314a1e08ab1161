"""The outbox relay: publishes stored messages at least once, in order for each scenario."""

from collections import defaultdict

import msgspec
import structlog
from anyio import create_task_group, sleep

from ..bus import BusUnavailableError, Publish
from ..concurrency.wake import Wake
from ..messages import Message, Topic
from ..postgres import TRANSIENT, Connection, Database

log = structlog.get_logger(__name__)

BATCH = 500
"""Messages published before they are deleted together, at most."""

_RETRY = 1.0  # seconds
_UNAVAILABLE: tuple[type[Exception], ...] = (BusUnavailableError, *TRANSIENT)


class OutboxMessage(msgspec.Struct, frozen=True):
    """One row of the outbox."""

    id: int
    key: str
    message: Message


async def pending(connection: Connection, topic: Topic, limit: int) -> list[OutboxMessage]:
    """Return the oldest messages that must still be published on the topic."""
    rows = await connection.fetch(
        "SELECT id, key, message FROM outbox WHERE topic = $1 ORDER BY id LIMIT $2", topic.name, limit
    )
    return [OutboxMessage(row["id"], row["key"], topic.decode(row["message"].encode())) for row in rows]


async def delete(connection: Connection, ids: list[int]) -> None:
    """Delete messages that were published."""
    await connection.execute("DELETE FROM outbox WHERE id = ANY($1)", ids)


async def relay(database: Database, publish: Publish, topic: Topic, wake: Wake, poll: float = 60.0) -> None:
    """Publish the topic's messages until cancelled. Looks when woken, and every `poll` seconds.

    While the database or the bus is unavailable, it tries again each second. Each topic has its own relay,
    because publishing may wait for the consumers of the topic, and must not make other topics wait.
    """
    while True:
        try:
            count = await relay_batch(database, publish, topic)
        except _UNAVAILABLE as error:
            log.warning("outbox relay will try again", error=str(error) or type(error).__name__)
            await sleep(min(poll, _RETRY))
            continue
        if count < BATCH:  # what was committed since has set the wake
            await wake.wait(poll)


async def relay_batch(database: Database, publish: Publish, topic: Topic) -> int:
    """Publish the oldest messages, outside any transaction, and delete them. Returns how many there were."""
    async with database.connection() as connection:
        batch = await pending(connection, topic, BATCH)
    if not batch:
        return 0
    by_key: dict[str, list[OutboxMessage]] = defaultdict(list)
    for row in batch:
        by_key[row.key].append(row)
    published: list[int] = []
    try:
        async with create_task_group() as group:
            for rows in by_key.values():
                group.start_soon(_publish_in_order, publish, topic, rows, published)
    except* BusUnavailableError as unavailable:
        raise BusUnavailableError(str(unavailable.exceptions[0])) from unavailable
    finally:
        if published:
            async with database.connection() as connection:
                await delete(connection, published)
    return len(batch)


async def _publish_in_order(
    publish: Publish, topic: Topic, rows: list[OutboxMessage], published: list[int]
) -> None:
    for row in rows:
        await publish(topic, row.message, row.key)
        published.append(row.id)
