"""Orchestrators that lead, and so relay the outbox, in processes that may be killed at any moment.

As a program (DSN BROKER PREFIX [GUARD]) it starts one for each line that it reads, and says its process id.
Everything is imported before, so that they start quickly. GUARD names what they go without.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from app.bus import Publish
from app.bus.kafka.bus import open_kafka_bus
from app.messages import TOPICS, Topic
from app.orchestrator import outbox
from app.orchestrator.batches.keeper import ScanTiming
from app.orchestrator.leader import Leader
from app.orchestrator.leases import LeaseTiming
from app.postgres import TRANSIENT, Database, open_database
from tests.support.paths import ROOT
from tests.torture.guards import replace_name
from tests.torture.muted_log import muted_log

PARTITIONS = 3
TIMING = LeaseTiming(heartbeat_interval=1.0, heartbeat_timeout=3600.0)
"""No lease may end: leases are not tested here."""


class Leaders:
    """One after the other."""

    def __init__(self, launcher: "subprocess.Popen[bytes]") -> None:
        self._launcher = launcher
        self._pid: int | None = None
        self.killed = 0

    def start(self) -> None:
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        self._launcher.stdin.write(b"\n")
        self._launcher.stdin.flush()
        self._pid = int(self._launcher.stdout.readline())

    def kill(self) -> None:
        if self._pid is not None:
            os.kill(self._pid, signal.SIGKILL)
            self._pid = None
            self.killed += 1


@contextmanager
def leaders(dsn: str, broker: str, prefix: str, guard: str) -> Iterator[Leaders]:
    """A launcher; the last of its leaders is killed in the end."""
    command = [sys.executable, "-m", "tests.torture.outbox.leaders", dsn, broker, prefix, guard]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as launcher:
        started = Leaders(launcher)
        try:
            yield started
        finally:
            started.kill()


async def _lead(dsn: str, broker: str, prefix: str) -> None:
    async with (
        open_database(dsn) as database,
        open_kafka_bus([broker], topics=TOPICS, prefix=prefix, partitions=PARTITIONS) as bus,
    ):
        leader = Leader(dsn, database, bus, TIMING, alone=False, media_root=Path(), scan_timing=ScanTiming())
        await leader.run()


async def _forget_first(database: Database, publish: Publish, topic: Topic) -> int:
    """A relay that removes what it has not published yet."""
    async with database.transaction() as connection:
        batch = await outbox.pending(connection, topic, outbox.BATCH)
        await outbox.delete(connection, [row.id for row in batch])
    for row in batch:
        await publish(topic, row.message, row.key)
    return len(batch)


_seen: dict[str, int] = defaultdict(int)


async def _remember_the_last(database: Database, publish: Publish, topic: Topic) -> int:
    """A relay that asks for what came after the last it saw."""
    async with database.connection() as connection:
        batch = await outbox.pending(connection, topic, 100_000)
    batch = [row for row in batch if row.id > _seen[topic.name]]
    for row in batch:
        await publish(topic, row.message, row.key)
        _seen[topic.name] = row.id
    async with database.connection() as connection:
        await outbox.delete(connection, [row.id for row in batch])
    return len(batch)


WITHOUT = {"publishing before removing": _forget_first, "looking for late commits": _remember_the_last}


def _launch(dsn: str, broker: str, prefix: str, guard: str) -> None:
    if guard in WITHOUT:
        replace_name(outbox, "relay_batch", WITHOUT[guard])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            with muted_log(), suppress(*TRANSIENT):
                asyncio.run(_lead(dsn, broker, prefix))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    _launch(*sys.argv[1:])
