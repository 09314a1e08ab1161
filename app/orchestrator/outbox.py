"""The relay: what was decided is published, in order for each scenario, at least once."""

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

_WAIT_OUT: tuple[type[Exception], ...] = (BusUnavailableError, *TRANSIENT)


class Pending(msgspec.Struct, frozen=True):
    """One outbox row."""

    id: int
    key: str
    message: Message


async def pending(connection: Connection, topic: Topic, limit: int) -> list[Pending]:
    """The oldest messages that are still to be published on the topic."""
    rows = await connection.fetch(
        "SELECT id, key, message FROM outbox WHERE topic = $1 ORDER BY id LIMIT $2", topic.name, limit
    )
    return [Pending(row["id"], row["key"], topic.decode(row["message"].encode())) for row in rows]


async def forget(connection: Connection, ids: list[int]) -> None:
    """Remove messages that were published."""
    await connection.execute("DELETE FROM outbox WHERE id = ANY($1)", ids)


async def relay(database: Database, publish: Publish, topic: Topic, wake: Wake, poll: float = 1.0) -> None:
    """Publish what the outbox holds for the topic until cancelled, looking every `poll` seconds and whenever
    woken.

    A fault of the database or the bus is waited out. Each topic has a relay of its own: publishing may wait
    for whoever handles its messages, and that is no reason to keep others waiting.
    """
    while True:
        try:
            moved = await _relay_batch(database, publish, topic)
        except _WAIT_OUT as error:
            log.warning("relay waits", error=str(error) or type(error).__name__)
            await sleep(poll)
            continue
        if not moved:
            await wake.wait(poll)


async def _relay_batch(database: Database, publish: Publish, topic: Topic) -> int:
    """Publish the oldest messages, outside any transaction, and remove them. Returns how many there were."""
    async with database.connection() as connection:
        batch = await pending(connection, topic, BATCH)
    if not batch:
        return 0
    by_key: dict[str, list[Pending]] = defaultdict(list)
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
                await forget(connection, published)
    return len(batch)


async def _publish_in_order(
    publish: Publish, topic: Topic, rows: list[Pending], published: list[int]
) -> None:
    for row in rows:
        await publish(topic, row.message, row.key)
        published.append(row.id)
