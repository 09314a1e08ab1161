"""A notifier in a process of its own: `python -m tests.torture.notifier.process <dsn> <url> [guard]`."""

import sys
from asyncio import run

from app.domain.channels import WebhookChannel
from app.domain.networks import Networks
from app.notifier import queue
from app.notifier.pacing import Backoff
from app.notifier.queue import Claimed
from app.notifier.senders.webhook import WebhookSender
from app.notifier.service import NotifiedChannel, Notifier, NotifierTiming
from app.postgres import Connection, open_database
from tests.support.webhook_receiver import SECRET

TIMING = NotifierTiming(
    poll=0.05, attempt=0.5, lease=1.0, message=Backoff(0.05, 0.5), channel=Backoff(0.05, 0.5)
)
_claim = queue.claim


async def _claim_as_sent(connection: Connection, *arguments: object) -> list[Claimed]:
    """Store deliveries as sent before they are, as without leases."""
    claimed = await _claim(connection, *arguments)  # type: ignore[arg-type]
    for each in claimed:
        await queue.mark_sent(connection, each)
    return claimed


async def main(dsn: str, url: str, unguarded: str = "") -> None:
    """Run until killed."""
    if unguarded == "lease":
        queue.claim = _claim_as_sent  # type: ignore[assignment]
    sender = WebhookSender(WebhookChannel(url=url, secret=SECRET), Networks("loopback"))
    async with open_database(dsn) as database:
        await Notifier(database, {"ops": NotifiedChannel(4, sender)}, timing=TIMING).run()


if __name__ == "__main__":
    run(main(*sys.argv[1:]))
