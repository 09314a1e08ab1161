"""The rescuer ends the leases of lost runs, so that their scenarios go on elsewhere."""

from datetime import datetime
from functools import partial
from uuid import UUID

from msgspec import Struct

from ..domain.states import State
from ..postgres import Connection, Database
from .decisions import apply
from .hearing import HearingCheck
from .leases import LeaseTiming
from .lifecycle import LAST_ATTEMPT_ISOLATION, MAX_BACKOFF, LoseRun, has_one_attempt_left, is_quarantined
from .signals import Signals
from .survey import Survey
from .transactions import repeat


class LostRun(Struct, frozen=True):
    """A run whose lease ended, and why."""

    scenario_id: UUID
    reason: str


class Rescuer:
    """Ends the leases of runs that a survey takes for lost.

    If a run takes its whole runner down, others are lost with it. The restarts of runs that are lost in one
    check are therefore spread out: see LoseRun.
    """

    def __init__(
        self, database: Database, timing: LeaseTiming, hearing: HearingCheck, signals: Signals
    ) -> None:
        self._database = database
        self._timing = timing
        self._hearing = hearing
        self._signals = signals
        self._quarantined = 0  # runs of this check
        self._isolation = 0.0  # seconds, for a run of this check

    async def check(self, found: Survey) -> None:
        """End the leases that were over at the time of a survey."""
        # After the clock was read: if this process freezes from here on, the time until then still counts.
        self._hearing.check(found.at)
        if found.may_have_lost_runs:
            await self.end_leases(found.at)

    async def end_leases(self, heard_until: datetime) -> None:
        """End the leases that are over if heartbeats were heard until then."""
        self._start_counting()
        await repeat(self._database, self._signals, partial(self._end_lease, heard_until))

    async def end_every_lease(self) -> None:
        """End every lease, for a process that knows that no older runner is left."""
        async with self._database.connection() as connection:
            await supersede_all(connection)
        self._start_counting()
        await repeat(self._database, self._signals, self._end_any_lease)

    def _start_counting(self) -> None:
        self._quarantined, self._isolation = 0, 0.0

    async def _end_lease(self, heard_until: datetime, connection: Connection) -> bool:
        lost = await next_lost(
            connection,
            self._timing.heartbeat_timeout,
            self._timing.grace,
            self._hearing.heard_since,
            heard_until,
        )
        return await self._lose(connection, lost)

    async def _end_any_lease(self, connection: Connection) -> bool:
        return await self._lose(connection, await next_held(connection))

    async def _lose(self, connection: Connection, lost: LostRun | None) -> bool:
        if lost is None:
            return False
        loss = LoseRun(lost.reason, self._quarantined, self._isolation)
        decision = await apply(connection, lost.scenario_id, loss)
        if decision is not None and decision.scenario.state == State.INIT_STARTUP:
            self._quarantined += is_quarantined(decision.scenario)
            if has_one_attempt_left(decision.scenario):
                self._isolation = min(decision.scenario.delay + LAST_ATTEMPT_ISOLATION, MAX_BACKOFF)
        return True


async def supersede_all(connection: Connection) -> None:
    """Dispatch nothing to any instance known so far."""
    await connection.execute("UPDATE runners SET superseded = true WHERE NOT superseded")


_FEWEST_RESTARTS_LEFT_FIRST = (
    "ORDER BY s.progressed, (s.spec->'restart'->>'max_restarts')::integer - s.failures"
)


async def next_lost(
    connection: Connection, timeout: float, grace: float, heard_since: datetime, heard_until: datetime
) -> LostRun | None:
    """Return the lost run with the fewest restarts left, its scenario locked until the transaction ends.

    A run is lost if it was not reported for `timeout` seconds (`grace` seconds if its runner said that it
    leaves) between `heard_since` and `heard_until`, or if a newer instance has its runner's name.
    """
    row = await connection.fetchrow(
        f"""
        SELECT s.id, s.runner_id,
               CASE WHEN r.superseded THEN 'was restarted'
                    WHEN r.left_at IS NOT NULL THEN 'left'
                    ELSE 'did not report the run for ' || $1::real || ' s' END AS how
          FROM scenarios s LEFT JOIN runners r USING (runner_id, boot_id)
         WHERE s.runner_id IS NOT NULL
           AND (r.superseded
                OR greatest(s.lease_renewed_at, $3) < $4::timestamptz
                   - make_interval(secs => CASE WHEN r.left_at IS NULL THEN $1 ELSE $2 END))
         {_FEWEST_RESTARTS_LEFT_FIRST} LIMIT 1 FOR UPDATE OF s SKIP LOCKED
        """,  # noqa: S608 - a constant
        timeout,
        grace,
        heard_since,
        heard_until,
    )
    return None if row is None else LostRun(row["id"], f"runner {row['runner_id']} {row['how']}")


async def next_held(connection: Connection) -> LostRun | None:
    """Return the held run with the fewest restarts left, its scenario locked until the transaction ends."""
    scenario_id = await connection.fetchval(
        "SELECT s.id FROM scenarios s WHERE s.runner_id IS NOT NULL"  # noqa: S608 - a constant
        f" {_FEWEST_RESTARTS_LEFT_FIRST} LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    return None if scenario_id is None else LostRun(scenario_id, "the service was restarted")
