"""The survey: one statement that tells a leader whether anything of what it looks after needs it."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from ..postgres import Connection


class Survey(Struct, frozen=True):
    """What there may be to do, at a time of the database's clock.

    `unpublished` are the topics for which messages are stored.
    """

    at: datetime
    may_have_lost_runs: bool
    has_batches: bool
    unpublished: Sequence[str]


async def survey(connection: Connection, lease: float, topics: Sequence[str]) -> Survey:
    """Look at everything at once, without locking anything.

    A run may be lost if it was not reported for `lease` seconds, or if its runner was replaced.
    """
    row = await connection.fetchrow(
        """
        WITH now AS MATERIALIZED (SELECT clock_timestamp() AS at)
        SELECT now.at,
               EXISTS (SELECT FROM scenarios s LEFT JOIN runners r USING (runner_id, boot_id)
                        WHERE s.runner_id IS NOT NULL
                          AND (r.superseded OR s.lease_renewed_at < now.at - make_interval(secs => $1))),
               EXISTS (SELECT FROM batches
                        WHERE state IN ('running', 'stopping', 'deleting') AND deleted_at IS NULL),
               ARRAY(SELECT topic FROM unnest($2::text[]) AS asked (topic)
                      WHERE EXISTS (SELECT FROM outbox o WHERE o.topic = asked.topic))
          FROM now
        """,
        lease,
        topics,
    )
    assert row is not None  # noqa: S101 - the clock is always there
    return Survey(*row)
