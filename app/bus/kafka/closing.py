"""Closing aiokafka's clients within a bounded time, though no broker may answer.

Their own `stop` waits for brokers, and leaves tasks and connections behind where it is cancelled.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import ProducerClosed
from aiokafka.protocol.group import LeaveGroupRequest
from anyio import CancelScope

# ruff: noqa: SLF001 - the tasks to end are known to aiokafka's own attributes alone

_SECONDS = 2.0


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Send what waits, then close; past the bound, what waits is not sent."""
    with CancelScope(shield=True):
        stop = _begin(producer.stop())
        if not await _ends(stop):
            producer._message_accumulator.fail_all(ProducerClosed())
            await _cancel(stop, producer._sender.sender_task)
        await _ends(_begin(producer.client.close()))


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close; past the bound, the group notices by itself that this member is gone."""
    with CancelScope(shield=True):
        stop = _begin(consumer.stop())
        if not await _ends(stop, _SECONDS / 10):
            leave = _begin(_leave(consumer))
            await _ends(stop)
            await _cancel(stop, leave)
        coordinator, fetcher = consumer._coordinator, consumer._fetcher
        for name in ("coordination", "heartbeat", "commit_refresh", "reset_committed"):
            await _cancel(getattr(coordinator, f"_{name}_task", None))
        if fetcher is not None:
            await _cancel(fetcher._fetch_task, *fetcher._pending_tasks)
        await _ends(_begin(consumer._client.close()))


async def _leave(consumer: AIOKafkaConsumer) -> None:
    """Tell the group that a member goes which waits for its partitions.

    Its own connection is taken by that wait, which would go on, with all other members, until they lose
    patience.
    """
    coordinator = consumer._coordinator
    if isinstance(coordinator, GroupCoordinator) and coordinator.coordinator_id is not None:
        request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        await consumer._client.send(coordinator.coordinator_id, request)


def _begin(closing: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
    """A task for it, which neither raises nor is cancelled with this one."""

    async def quietly() -> None:
        # A CancelledError of aiokafka's own making would be taken for one of ours.
        with suppress(Exception, asyncio.CancelledError):
            await closing

    return asyncio.ensure_future(quietly())


async def _cancel(*tasks: "asyncio.Future[Any] | None") -> None:
    for task in tasks:
        if task is not None and not task.done():
            task.cancel()
            await _ends(task)


async def _ends(task: "asyncio.Future[Any]", seconds: float = _SECONDS) -> bool:
    await asyncio.wait([task], timeout=seconds)
    return task.done()
