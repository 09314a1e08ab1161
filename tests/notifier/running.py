"""Notifiers with webhook channels, in the test's own process."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from anyio import create_task_group

from app.domain.channels import WebhookChannel
from app.domain.networks import Networks
from app.notifier.pacing import Backoff
from app.notifier.senders.base import Sender
from app.notifier.senders.webhook import WebhookSender
from app.notifier.service import NotifiedChannel, Notifier, NotifierTiming
from app.postgres import Database
from tests.support.webhook_receiver import SECRET, Receiver

QUICK = NotifierTiming(
    poll=0.02,
    attempt=5.0,
    lease=10.0,
    finish=0.1,
    message=Backoff(0.001, 0.3),
    channel=Backoff(0.001, 0.06),
)
"""As by default, with backoffs a thousandth as long."""


def webhook(receiver: Receiver) -> Sender:
    return WebhookSender(WebhookChannel(url=receiver.url, secret=SECRET), Networks("loopback"))


@asynccontextmanager
async def notifying(
    database: Database,
    senders: Mapping[str, Sender],
    timing: NotifierTiming = QUICK,
    concurrency: int = 4,
) -> AsyncIterator[None]:
    """Run a notifier during the block."""
    channels = {name: NotifiedChannel(concurrency, sender) for name, sender in senders.items()}
    async with create_task_group() as group:
        await group.start(Notifier(database, channels, timing=timing).run)
        yield
        group.cancel_scope.cancel()
