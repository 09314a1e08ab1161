"""The notifier: claims deliveries, sends them outside any transaction, and stores how each attempt ended."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from math import inf
from uuid import uuid4

import structlog
from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    create_task_group,
    current_time,
    fail_after,
    move_on_after,
    sleep,
)
from anyio.abc import TaskGroup, TaskStatus
from msgspec import Struct

from ..concurrency.wake import Wake
from ..postgres import TRANSIENT, Connection, Database
from . import metrics, queue
from .notification import make_message
from .pacing import Backoff, ChannelPacing
from .queue import Claimed
from .senders.base import Sender, SendError

log = structlog.get_logger(__name__)

MOST_REJECTIONS = 5
"""Attempts after which a message is dead that the receiver calls wrong."""

_RELEASE_SECONDS = 1.0
_DATABASE_RETRY = 1.0  # seconds


class NotifierTiming(Struct, frozen=True, kw_only=True):
    """Seconds. A lease is longer than an attempt, so that only a process that hangs loses its lease.

    `finish`: how long the end of the service waits for attempts that have begun.
    """

    lease: float = 30.0
    attempt: float = 10.0
    finish: float = 2.0
    poll: float = 0.5
    message: Backoff = Backoff(1.0, 300.0)
    channel: Backoff = Backoff(1.0, 60.0)


class NotifiedChannel(Struct, frozen=True):
    """A channel: how many messages are sent at the same time, and by what."""

    concurrency: int
    sender: Sender


class Notifier:
    """Sends what waits for `channels`. Any number of notifiers share the deliveries of a database.

    `public_url` begins the links in messages; without it, they have none.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, NotifiedChannel],
        public_url: str = "",
        timing: NotifierTiming = NotifierTiming(),  # noqa: B008  immutable
    ) -> None:
        self._database = database
        self._senders = {name: channel.sender for name, channel in channels.items()}
        self._pacing = {
            name: ChannelPacing(name, channel.concurrency, timing.channel)
            for name, channel in channels.items()
        }
        self._public_url = public_url
        self._timing = timing
        self._wake = Wake()
        self._attempts: set[CancelScope] = set()
        self._end = inf

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Send until cancelled; then finish the attempts that have begun, so that nothing is sent twice.

        What takes longer than `finish` is released, and another notifier sends it at once.
        """
        try:
            async with create_task_group() as group:
                task_status.started()
                try:
                    while True:
                        is_poll_due = await self._claim(group)
                        await self._wake.wait(self._timing.poll if is_poll_due else _DATABASE_RETRY)
                finally:
                    self._end = current_time() + self._timing.finish
                    for attempt in self._attempts:
                        attempt.deadline = self._end
        finally:
            with CancelScope(shield=True):
                for sender in self._senders.values():
                    with move_on_after(_RELEASE_SECONDS):
                        await sender.close()

    async def _claim(self, group: TaskGroup) -> bool:
        """Begin to send what is due and has room. Returns False if the database is away."""
        now = current_time()
        free = [room for pacing in self._pacing.values() if (room := pacing.room(now)).room]
        if not free:
            return True
        try:
            async with self._database.connection() as connection:
                claimed = await queue.claim(connection, free, uuid4(), self._timing.lease)
        except TRANSIENT as error:
            log.warning("cannot read deliveries yet", error=repr(error))
            return False
        for each in claimed:
            self._pacing[each.channel].begin()
            group.start_soon(self._deliver, each, current_time() + self._timing.lease)
        return True

    async def _deliver(self, claimed: Claimed, lease_ends: float) -> None:
        pacing = self._pacing[claimed.channel]
        has_ended = False
        try:
            with CancelScope(shield=True, deadline=self._end) as attempt:
                self._attempts.add(attempt)
                store = await self._attempt(claimed, pacing)
                await self._store(store, lease_ends)
                has_ended = True
        finally:
            self._attempts.discard(attempt)
            if not has_ended:
                await self._release(claimed)
            pacing.end()
            self._wake.set()

    async def _attempt(
        self, claimed: Claimed, pacing: ChannelPacing
    ) -> Callable[[Connection], Awaitable[None]]:
        """Send a message once. Returns how to store what came of it."""
        began = time.monotonic()
        try:
            fault = await self._send(claimed)
        finally:
            metrics.SEND_SECONDS.labels(claimed.channel).observe(time.monotonic() - began)
        if fault is None:
            pacing.succeed()
            metrics.SENT.labels(claimed.channel).inc()
            return partial(queue.mark_sent, claimed=claimed)
        metrics.FAILED.labels(claimed.channel).inc()
        if fault.is_rejected:
            pacing.succeed()
        else:
            pacing.fail(current_time(), fault.retry_after)
        is_dead = claimed.event_id is None or (fault.is_rejected and claimed.attempt >= MOST_REJECTIONS)
        log.warning(
            "a message is given up" if is_dead else "a message was not delivered and will be sent again",
            channel=claimed.channel,
            delivery=str(claimed.id),
            attempt=claimed.attempt,
            error=f"the channel {fault}",
        )
        if is_dead:
            if claimed.event_id is not None:
                metrics.DEAD.labels(claimed.channel).inc()
            return partial(queue.mark_dead, claimed=claimed, error=f"the channel {fault}")
        wait = max(self._timing.message.after(claimed.attempt), fault.retry_after)
        return partial(queue.mark_failed, claimed=claimed, error=f"the channel {fault}", retry_after=wait)

    async def _send(self, claimed: Claimed) -> SendError | None:
        """Send a message, within a time. Returns the fault, if there is one."""
        seconds = self._timing.attempt
        try:
            with fail_after(seconds):
                await self._senders[claimed.channel].send(make_message(claimed, self._public_url))
        except SendError as fault:
            return fault
        except TimeoutError:
            return SendError(f"did not answer within {seconds:g} s")
        except Exception:  # a bug of ours costs this message an attempt, and no other message
            log.exception("cannot send", channel=claimed.channel, delivery=str(claimed.id))
            return SendError("could not be used: an internal error, see the notifier's log", is_rejected=True)
        return None

    async def _store(self, store: Callable[[Connection], Awaitable[None]], lease_ends: float) -> None:
        """Store what came of an attempt while its lease lasts. Afterwards it is sent again."""
        while current_time() < lease_ends:
            try:
                async with self._database.connection() as connection:
                    await store(connection)
            except TRANSIENT as error:
                log.warning("cannot store the result of a delivery yet", error=repr(error))
                await sleep(_DATABASE_RETRY)
            else:
                return

    async def _release(self, claimed: Claimed) -> None:
        with move_on_after(_RELEASE_SECONDS, shield=True):
            try:
                async with self._database.connection() as connection:
                    await queue.release(connection, claimed)
            except TRANSIENT as error:
                log.warning("a claimed delivery waits for its lease to end", error=repr(error))
