"""The live picture of a scenario: marked as watched, and read."""

from uuid import UUID

from msgspec import Struct

from ...domain.states import SourceState
from ...postgres import Database

WATCHED_SECONDS = 10.0
"""How long runners go on to store pictures after somebody asked for one."""


class StoredLivePicture(Struct, frozen=True):
    """The newest picture of a scenario's present run, `age` seconds after it was stored.

    `width` and `height` are those of the frame. `is_of_watch`: it was stored since somebody looks without a
    pause. `jpeg` is None if the caller has it.
    """

    attempt: int
    frame: int
    time: float
    width: int
    height: int
    age: float
    is_of_watch: bool
    source_state: SourceState
    jpeg: bytes | None


async def mark_watched(predictions: Database, scenario_id: UUID) -> None:
    """Have the runner that holds the scenario store pictures for WATCHED_SECONDS."""
    async with predictions.connection() as connection:
        await connection.execute(
            """
            INSERT INTO watched AS w
            VALUES ($1, clock_timestamp(), clock_timestamp() + make_interval(secs => $2))
            ON CONFLICT (scenario_id) DO UPDATE
               SET since = CASE WHEN w.until < excluded.since THEN excluded.since ELSE w.since END,
                   until = excluded.until
            """,
            scenario_id,
            WATCHED_SECONDS,
        )


async def find_live_picture(
    predictions: Database, scenario_id: UUID, known: tuple[int, int]
) -> StoredLivePicture | None:
    """Return the scenario's live picture; None if its present run has none, or it was deleted.

    `known`: attempt and frame of the picture that the caller has.
    """
    async with predictions.connection() as connection:
        row = await connection.fetchrow(
            """
            SELECT l.attempt, l.frame, l.time, l.width, l.height,
                   extract(epoch FROM clock_timestamp() - l.at)::double precision AS age,
                   l.at >= w.since AS is_of_watch, c.source_state,
                   CASE WHEN (l.attempt, l.frame) = ($2, $3) THEN NULL ELSE l.picture END AS jpeg
              FROM live_pictures AS l
              JOIN watched AS w USING (scenario_id)
              JOIN checkpoints AS c USING (scenario_id)
             WHERE l.scenario_id = $1 AND NOT c.dropped
               AND (l.attempt, l.run_token) = (c.attempt, c.run_token)
            """,
            scenario_id,
            *known,
        )
    return None if row is None else StoredLivePicture(*row)
