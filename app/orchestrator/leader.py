"""The leader: of all orchestrators, the one that holds the lock and does the duties of a leader."""

import math
import time
from pathlib import Path

import structlog
from anyio import TASK_STATUS_IGNORED, create_task_group
from anyio.abc import TaskStatus

from ..bus import Bus
from ..postgres import Database
from .announcer import Announcer
from .batches.keeper import BatchKeeper, ScanTiming
from .dispatcher import Dispatcher
from .elector import Leadership, lead
from .heartbeats import Heartbeats
from .leases import LeaseTiming
from .outbox import relay
from .pruner import Pruner
from .rescuer import Rescuer
from .signals import Signals
from .survey import survey
from .transactions import attempt

log = structlog.get_logger(__name__)

_PATIENCE = 3.0  # seconds until a process that must be alone concludes that it is not


class Leader:
    """Relays the outbox, ends leases, dispatches and prunes while it holds the lock, and waits otherwise."""

    def __init__(
        self,
        dsn: str,
        database: Database,
        bus: Bus,
        timing: LeaseTiming,
        *,
        alone: bool,
        media_root: Path,
        scan_timing: ScanTiming,
    ) -> None:
        """`alone`: no other orchestrator may use this database. `media_root`: where batches find files."""
        self.signals = Signals()
        self._dsn = dsn
        self._database = database
        self._bus = bus
        self._timing = timing
        self._alone = alone
        self._is_leading = False
        self._next_survey = 0.0  # of time.monotonic()
        self._announcer = Announcer(database, self.signals)
        self._heartbeats = Heartbeats(
            database,
            bus,
            timing,
            self.signals,
            is_leading=lambda: self._is_leading,
            on_new_instance=self._check_leases_now,
        )
        self._rescuer = Rescuer(database, timing, self._heartbeats.hearing, self.signals)
        self._dispatcher = Dispatcher(database, timing.grace, self.signals)
        self._pruner = Pruner(database)
        self._batches = BatchKeeper(database, media_root, self.signals, scan_timing)

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Lead whenever possible, until cancelled.

        A process that must be alone reports ready only as leader, and first ends every older lease, because
        the runners that held one are gone. Raises AlreadyRunningError if it is not alone.
        """
        timeout = self._timing.heartbeat_timeout
        patience = _PATIENCE if self._alone else math.inf
        is_starting_alone = self._alone
        async with create_task_group() as group:
            group.start_soon(self._announcer.run)
            if not self._alone:
                await group.start(self._heartbeats.listen)
                task_status.started()
            while True:
                async with lead(
                    self._dsn,
                    self.signals.after_announcement,
                    ignore_sender=self._announcer.id,
                    silence=timeout,
                    patience=patience,
                ) as leadership:
                    if is_starting_alone:
                        while not await attempt(self._rescuer.end_every_lease):
                            await self.signals.leader.wait(self._timing.heartbeat_interval)
                        await group.start(self._heartbeats.listen)
                        task_status.started()
                        # If its connection breaks, the server may keep the lock until it notices.
                        is_starting_alone, patience = False, timeout + _PATIENCE
                    await self._lead(leadership)

    async def _lead(self, leadership: Leadership) -> None:
        log.info("this orchestrator leads now")
        self._is_leading, self._next_survey = True, 0.0
        try:
            async with create_task_group() as group:
                for topic, wake in self.signals.relays.items():
                    group.start_soon(relay, self._database, self._bus.publish, topic, wake)
                group.start_soon(self._batches.run)
                while await leadership.is_held():
                    await attempt(self._do_duties)
                    await self.signals.leader.wait(self._timing.heartbeat_interval)
                group.cancel_scope.cancel()
        finally:
            self._is_leading = False

    async def _do_duties(self) -> None:
        if time.monotonic() >= self._next_survey:
            self._next_survey = time.monotonic() + self._timing.heartbeat_interval
            await self._look_at_everything()
        await self._dispatcher.run_once()
        await self._pruner.run_once()

    async def _look_at_everything(self) -> None:
        """Find what no signal has told, because a process died before it sent it, or because time passed."""
        topics = [topic.name for topic in self.signals.relays]
        async with self._database.connection() as connection:
            found = await survey(connection, self._timing.shortest_lease, topics)
        self.signals.after_survey(found)
        await self._rescuer.check(found)

    def _check_leases_now(self) -> None:
        self._next_survey = 0.0
        self.signals.leader.set()
