"""Read frames that are stored: a scenario's own, or those of another one whose footage it asks."""

from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec.structs import replace

from ...domain.prediction import FrameSize
from ...postgres import Connection
from ...predictions.checkpoint import Checkpoint, Fence, FencedError, Footage

PAGE = 1000  # frames

_footage = msgspec.json.Decoder(Footage)
_sizes = msgspec.json.Decoder(tuple[FrameSize, ...])


class FootageError(Exception):
    """The footage that is asked is not there. The message tells the user what to do."""

    def __init__(self, message: str, *, is_retryable: bool = False) -> None:
        super().__init__(message)
        self.is_retryable = is_retryable


async def read_frames(connection: Connection, scenario_id: UUID, first: int, end: int) -> list[Record]:
    """Return up to PAGE stored frames without an error, from `first` on and before `end`."""
    rows: list[Record] = await connection.fetch(
        "SELECT frame, time, labels, confidences, boxes, track_ids, error FROM predictions"
        " WHERE scenario_id = $1 AND frame >= $2 AND frame < $3 AND error IS NULL ORDER BY frame LIMIT $4",
        scenario_id,
        first,
        end,
        PAGE,
    )
    return rows


async def read_footage(connection: Connection, scenario_id: UUID, first: int, end: int) -> list[Record]:
    """Return what `read_frames` does, and be sure that none of these frames was removed.

    Raises FootageError if one was.
    """
    rows = await read_frames(connection, scenario_id, first, end)
    # Looked at afterwards: whoever removes frames says so in the same statement.
    source = await connection.fetchrow(
        "SELECT dropped, purged_before FROM checkpoints WHERE scenario_id = $1", scenario_id
    )
    if source is None or source["dropped"]:
        raise _deleted(scenario_id)
    if source["purged_before"] > first:
        raise FootageError(
            f"frames of the scenario {scenario_id} were removed before they were analysed, because they are"
            " older than VA_LIVE_RETENTION_DAYS: create a new scenario, which asks what is left"
        )
    return rows


async def pin_footage(
    connection: Connection, fence: Fence, source_id: UUID, claimed: Checkpoint
) -> Checkpoint:
    """Return the claimed checkpoint with the frames that the other scenario has stored by now.

    They are pinned: later attempts get the same ones. One statement reads the other scenario and writes this.

    Raises:
        FencedError: another run has the fence
        FootageError: the other scenario has no frames
    """
    pinned = await connection.fetchrow(
        """
        UPDATE checkpoints AS c
           SET footage = json_build_object(
                   'scenario_id', s.scenario_id, 'first', s.purged_before, 'end', s.next_frame,
                   'until', s.position_seconds, 'is_live', s.live,
                   'has_tracks', s.next_track_id > 1 AND EXISTS (
                       SELECT FROM predictions AS p
                        WHERE p.scenario_id = s.scenario_id AND frame >= s.purged_before
                          AND frame < s.next_frame AND track_ids IS NOT NULL)),
               sizes = s.sizes, next_frame = s.purged_before, analysis_frame = s.purged_before
          FROM checkpoints AS s
         WHERE c.scenario_id = $1 AND c.attempt = $2 AND c.run_token = $3 AND NOT c.dropped
           AND c.footage IS NULL
           AND s.scenario_id = $4 AND NOT s.dropped AND s.next_frame > s.purged_before
        RETURNING c.footage, c.sizes, c.next_frame, c.analysis_frame
        """,
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
        source_id,
    )
    pinned = pinned or await connection.fetchrow(  # it may have been pinned, and the acknowledgement lost
        "SELECT footage, sizes, next_frame, analysis_frame FROM checkpoints"
        " WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3 AND NOT dropped",
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
    )
    if pinned is None:
        raise FencedError
    if pinned["footage"] is None:
        is_deleted = await connection.fetchval(
            "SELECT dropped FROM checkpoints WHERE scenario_id = $1", source_id
        )
        if is_deleted:
            raise _deleted(source_id)
        raise FootageError(
            f"the scenario {source_id} has no stored frames: start this one again when it has some",
            is_retryable=True,
        )
    return replace(
        claimed,
        footage=_footage.decode(pinned["footage"]),
        sizes=_sizes.decode(pinned["sizes"]),
        next_frame=pinned["next_frame"],
        analysis=replace(claimed.analysis, frame=pinned["analysis_frame"]),
    )


def _deleted(scenario_id: UUID) -> FootageError:
    return FootageError(
        f"the scenario {scenario_id}, whose footage is asked, was deleted: analyse the video itself again"
    )
