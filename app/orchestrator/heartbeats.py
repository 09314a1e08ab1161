"""Heartbeats of runners: they renew leases, and tell which runs nobody should run any more."""

from collections.abc import Callable, Sequence
from typing import Literal
from uuid import UUID

import structlog
from anyio import TASK_STATUS_IGNORED, create_task_group, sleep
from anyio.abc import TaskStatus

from ..bus import Bus
from ..messages import (
    Instance,
    Message,
    Probe,
    RunnerHeartbeat,
    RunReport,
    StopRun,
    runner_commands,
    runner_heartbeats,
)
from ..postgres import Connection, Database
from . import leases, store
from .hearing import HearingCheck
from .leases import LeaseTiming
from .signals import Signals
from .transactions import attempt

log = structlog.get_logger(__name__)

_OrphanedRuns = set[tuple[UUID, int]]  # scenario and attempt


class Heartbeats:
    """Hears the heartbeats. Every orchestrator does, so that a new leader knows which runners are silent."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        timing: LeaseTiming,
        signals: Signals,
        *,
        is_leading: Callable[[], bool],
        on_new_instance: Callable[[], None],
    ) -> None:
        self._database = database
        self._bus = bus
        self._timing = timing
        self._signals = signals
        self._is_leading = is_leading
        self._on_new_instance = on_new_instance
        interval, timeout = timing.heartbeat_interval, timing.heartbeat_timeout
        self.hearing = HearingCheck(bus, interval=min(interval, timeout / 10), longest_gap=timeout / 2)
        self._orphaned: dict[Instance, _OrphanedRuns] = {}
        self._warned_of: set[Instance] = set()

    async def listen(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Hear heartbeats and probes until cancelled; reports ready once subscribed.

        While another orchestrator leads, gaps in the hearing are noted here, and otherwise by the rescuer.
        """
        async with create_task_group() as group:
            await group.start(self._bus.consume, runner_heartbeats, self.hear)
            group.start_soon(self.hearing.send_probes)
            task_status.started()
            while True:
                if not self._is_leading():
                    await attempt(self._check_hearing)
                await sleep(self._timing.heartbeat_interval)

    async def _check_hearing(self) -> None:
        async with self._database.connection() as connection:
            now = await leases.clock(connection)
        if not self._is_leading():
            self.hearing.check(now)

    async def hear(self, message: Message) -> None:
        """Handle one message of the topic."""
        if isinstance(message, Probe):
            self.hearing.hear(message)
            return
        assert isinstance(message, RunnerHeartbeat)  # noqa: S101 - the topic holds nothing else
        if not self._is_leading() and self.hearing.is_behind:
            return  # an old heartbeat would renew leases falsely
        instance = message.instance
        async with self._database.connection() as connection:
            standing = await note_instance(connection, message)
            if standing == "new":
                self._on_new_instance()
            elif standing == "replaced":
                self._warn_of_shared_name(instance)
            timeout = self._timing.heartbeat_timeout
            orphaned = await renew(connection, instance, message.runs, timeout) if message.runs else []
        if self._is_leading():
            await self._stop_orphaned(instance, {(run.scenario_id, run.attempt) for run in orphaned})

    def _warn_of_shared_name(self, instance: Instance) -> None:
        if instance not in self._warned_of:
            self._warned_of.add(instance)
            log.warning(
                "two runners have the same name, only the newer is used: give each its own VA_RUNNER_ID",
                runner=instance.runner_id,
            )

    async def _stop_orphaned(self, instance: Instance, runs: _OrphanedRuns) -> None:
        # In one heartbeat, the run may have ended while it was on its way. In two, a message was lost.
        for scenario_id, attempt_number in runs & self._orphaned.pop(instance, set()):
            await self._stop(StopRun(instance, scenario_id, attempt_number))
        if runs:
            self._orphaned[instance] = runs

    async def _stop(self, stop: StopRun) -> None:
        async with self._database.transaction() as connection:
            await store.lock(connection, stop.scenario_id)
            await store.send(connection, stop.scenario_id, runner_commands, stop)
        self._signals.relays[runner_commands].set()


async def note_instance(connection: Connection, beat: RunnerHeartbeat) -> Literal["new", "known", "replaced"]:
    """Store that a runner instance lives. A new instance replaces older ones of its name for good."""
    row = await connection.fetchrow(
        """
        WITH lives AS (
            INSERT INTO runners (runner_id, boot_id, slots, features, backend, precision)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (runner_id, boot_id)
            DO UPDATE SET heartbeat_at = clock_timestamp(), slots = excluded.slots,
                          features = excluded.features, backend = excluded.backend,
                          precision = excluded.precision
            RETURNING xmax = 0 AS is_new, superseded
        ), replaced AS (
            UPDATE runners SET superseded = true
             WHERE runner_id = $1 AND boot_id <> $2 AND NOT superseded AND (SELECT is_new FROM lives)
        )
        SELECT is_new, superseded FROM lives
        """,
        beat.instance.runner_id,
        beat.instance.boot_id,
        beat.slots,
        beat.features,
        beat.backend,
        beat.precision,
    )
    assert row is not None  # noqa: S101 - an upsert returns its row
    if row["is_new"]:
        return "new"
    return "replaced" if row["superseded"] else "known"


async def renew(
    connection: Connection, instance: Instance, runs: Sequence[RunReport], stop_timeout: float
) -> list[RunReport]:
    """Renew the leases of these runs, and store the frame that each has reached.

    Returns the orphaned runs: those that this instance does not hold, and those that it was told to stop
    more than `stop_timeout` seconds ago.
    """
    rows = await connection.fetch(
        """
        UPDATE scenarios AS s
           SET lease_renewed_at = clock_timestamp(),
               next_frame = greatest(s.next_frame, r.next_frame),
               progressed = s.progressed OR r.next_frame > s.next_frame
          FROM unnest($3::uuid[], $4::integer[], $5::bigint[]) AS r (id, attempt, next_frame)
         WHERE s.id = r.id AND s.attempt = r.attempt AND s.runner_id = $1 AND s.boot_id = $2
        RETURNING s.id, s.attempt, s.state = 'in_shutdown_processing'
                        AND s.updated_at < now() - make_interval(secs => $6) AS overdue
        """,
        instance.runner_id,
        instance.boot_id,
        [run.scenario_id for run in runs],
        [run.attempt for run in runs],
        [run.next_frame for run in runs],
        stop_timeout,
    )
    held = {(row["id"], row["attempt"]) for row in rows if not row["overdue"]}
    return [run for run in runs if (run.scenario_id, run.attempt) not in held]
