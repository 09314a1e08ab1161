"""Closing aiokafka's clients within a bounded time, though no broker may answer.

Their own `stop` waits for brokers, and leaves tasks and connections behind where it is cancelled.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from anyio import CancelScope

# ruff: noqa: SLF001 - the tasks to end are known to aiokafka's own attributes alone

_SECONDS = 3.0


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Send what waits, then close; past the bound, what waits is not sent."""
    with CancelScope(shield=True):
        stop = asyncio.ensure_future(_quietly(producer.stop()))
        if not await _ends(stop):
            producer._message_accumulator.fail_all(ProducerClosed())
            await _cancel(stop, producer._sender.sender_task)
        await _ends(asyncio.ensure_future(producer.client.close()))


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group and close; past the bound, the group notices by itself that this member is gone."""
    with CancelScope(shield=True):
        stop = asyncio.ensure_future(_quietly(consumer.stop()))
        if not await _ends(stop):
            await _cancel(stop)
        coordinator, fetcher = consumer._coordinator, consumer._fetcher
        for name in (
            "_coordination_task",
            "_heartbeat_task",
            "_commit_refresh_task",
            "_reset_committed_task",
        ):
            await _cancel(getattr(coordinator, name, None))
        if fetcher is not None:
            await _cancel(fetcher._fetch_task, *fetcher._pending_tasks)
        await _ends(asyncio.ensure_future(consumer._client.close()))


async def _quietly(stopping: Coroutine[Any, Any, None]) -> None:
    # A CancelledError of aiokafka's own making would be taken for one of ours.
    with suppress(Exception, asyncio.CancelledError):
        await stopping


async def _cancel(*tasks: "asyncio.Future[Any] | None") -> None:
    for task in tasks:
        if task is not None and not task.done():
            task.cancel()
            await _ends(task)


async def _ends(task: "asyncio.Future[Any]") -> bool:
    await asyncio.wait([task], timeout=_SECONDS)
    return task.done()
