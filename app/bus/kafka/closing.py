"""Close aiokafka clients within a bounded time, even if no broker answers.

aiokafka's own `stop` has no time-out: it waits for the brokers, and if it is cancelled, it leaves tasks and
connections behind. aiokafka keeps those tasks only in private attributes, which is why this file uses them.
"""

# ruff: noqa: SLF001

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import ProducerClosed
from aiokafka.protocol.group import LeaveGroupRequest
from anyio import CancelScope

_TIMEOUT = 2.0  # seconds, for each step
_LEAVE_AFTER = 0.2  # seconds


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Send the waiting messages, then close. Messages that are not sent within the time-out fail."""
    with CancelScope(shield=True):
        stop = _run_quietly(producer.stop())
        if not await _is_done_within(stop, _TIMEOUT):
            # Ends the task in which `stop` waits for the batches; nothing public fails them.
            producer._message_accumulator.fail_all(ProducerClosed())
            await _cancel(stop)
        # Also ends the requests on which the sender task of a cancelled `stop` waits.
        await _is_done_within(_run_quietly(producer.client.close()), _TIMEOUT)


async def close_consumer(consumer: AIOKafkaConsumer) -> None:
    """Leave the group, then close. If that takes too long, the group notices the missing heartbeats."""
    with CancelScope(shield=True):
        stop = _run_quietly(consumer.stop())
        if not await _is_done_within(stop, _LEAVE_AFTER):
            leave = _run_quietly(_leave_group(consumer))
            await _is_done_within(stop, _TIMEOUT)
            await _cancel(stop, leave)
        # A `stop` that waits for a rebalance, or to leave the group, has not ended these tasks yet.
        coordinator, fetcher = consumer._coordinator, consumer._fetcher
        if isinstance(coordinator, GroupCoordinator):
            await _cancel(coordinator._heartbeat_task, coordinator._commit_refresh_task)
        if fetcher is not None:
            await _cancel(fetcher._fetch_task, *fetcher._pending_tasks)
        # A cancelled `stop` has not reached its last step.
        await _is_done_within(_run_quietly(consumer._client.close()), _TIMEOUT)


async def _leave_group(consumer: AIOKafkaConsumer) -> None:
    """Tell the group that this member leaves while it still waits for its partitions.

    `stop` leaves the group only after that wait, and until then all other members would wait too. The request
    goes over another connection, because the wait occupies the coordinator's.
    """
    coordinator = consumer._coordinator
    if isinstance(coordinator, GroupCoordinator) and coordinator.coordinator_id is not None:
        request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        await consumer._client.send(coordinator.coordinator_id, request)


def _run_quietly(closing: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
    """Start a task that raises nothing and is not cancelled together with the current one."""

    async def run() -> None:
        # aiokafka raises CancelledError itself, which must not look like a cancellation of this task.
        with suppress(Exception, asyncio.CancelledError):
            await closing

    return asyncio.ensure_future(run())


async def _cancel(*tasks: "asyncio.Future[Any] | None") -> None:
    for task in tasks:
        if task is not None and not task.done():
            task.cancel()
            await _is_done_within(task, _TIMEOUT)


async def _is_done_within(task: "asyncio.Future[Any]", seconds: float) -> bool:
    # Not anyio's time-outs: they would cancel the task, and aiokafka may take long to end.
    await asyncio.wait([task], timeout=seconds)
    return task.done()
