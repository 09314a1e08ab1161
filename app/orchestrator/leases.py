"""Leases on runs: a runner instance holds a run as long as its heartbeats report the run.

Every lease is judged by the database's clock alone.
"""

from datetime import datetime

from msgspec import Struct

from ..messages import Instance
from ..postgres import Connection


class LeaseTiming(Struct, frozen=True):
    """Seconds: between heartbeats, and how long a lease lasts without one."""

    heartbeat_interval: float = 1.0
    heartbeat_timeout: float = 10.0

    @property
    def grace(self) -> float:
        """Seconds without a heartbeat after which an instance gets no more runs.

        An instance that said that it leaves counts as gone after this time.
        """
        return 3 * self.heartbeat_interval

    @property
    def shortest_lease(self) -> float:
        """Seconds after its last renewal for which each lease lasts, whatever its instance has said."""
        return min(self.grace, self.heartbeat_timeout)


async def clock(connection: Connection) -> datetime:
    """Return the database's time."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def mark_leaving(connection: Connection, instance: Instance) -> None:
    """Dispatch no more runs to this instance, even if its first heartbeat arrives later."""
    await connection.execute(
        "INSERT INTO runners (runner_id, boot_id, slots, left_at) VALUES ($1, $2, 0, now())"
        " ON CONFLICT (runner_id, boot_id) DO UPDATE SET left_at = now() WHERE runners.left_at IS NULL",
        instance.runner_id,
        instance.boot_id,
    )
