"""Claim a scenario's fence: from then on its run may write, and earlier runs may not."""

import time
from collections.abc import Sequence

import msgspec
from asyncpg import Record

from ...domain.event import Carried
from ...domain.pins import Pins
from ...domain.prediction import DETECTOR_FAILED, FrameSize
from ...domain.reason import ScenarioWarning
from ...postgres import Connection
from ...predictions.checkpoint import (
    Checkpoint,
    Counters,
    Fence,
    FencedError,
    Footage,
    OpenEvent,
    SavedAnalysis,
)

_pins = msgspec.json.Decoder(Pins)
_warnings = msgspec.json.Decoder(tuple[ScenarioWarning, ...])
_cooldowns = msgspec.json.Decoder(dict[str, float])
_sizes = msgspec.json.Decoder(tuple[FrameSize, ...])
_footage = msgspec.json.Decoder(Footage)


async def claim(connection: Connection, fence: Fence) -> Checkpoint:
    """Take the fence.

    Raises:
        FencedError: a newer attempt has the fence, or the scenario was deleted
    """
    (claimed,) = await claim_all(connection, [fence])
    if claimed is None:
        raise FencedError
    return claimed


async def claim_all(connection: Connection, fences: Sequence[Fence]) -> list[Checkpoint | None]:
    """Take the fences of several scenarios; the result is None for each that cannot be taken."""
    rows = await connection.fetch(
        """
        INSERT INTO checkpoints AS c (scenario_id, attempt, run_token)
        SELECT * FROM unnest($1::uuid[], $2::integer[], $3::uuid[]) AS asked (scenario_id, attempt, run_token)
         ORDER BY scenario_id
        ON CONFLICT (scenario_id) DO UPDATE
           SET attempt = excluded.attempt, run_token = excluded.run_token, source_state = 'opening',
               frames_per_second = 0, detector_wait = NULL, detector_waits_since = NULL, updated_at = now()
         WHERE NOT c.dropped
           AND (c.attempt < excluded.attempt
                OR (c.attempt = excluded.attempt AND c.run_token = excluded.run_token))
        RETURNING *, extract(epoch FROM clock_timestamp())::double precision AS claimed_at,
                  CASE WHEN frames_sampled > 0 AND frames_sampled = frames_failed THEN (
                      SELECT error FROM predictions AS p
                       WHERE p.scenario_id = c.scenario_id AND starts_with(p.error, $4)
                       ORDER BY frame DESC LIMIT 1) END AS last_detector_error
        """,
        [fence.scenario_id for fence in fences],
        [fence.attempt for fence in fences],
        [fence.run_token for fence in fences],
        DETECTOR_FAILED,
    )
    claimed = {row["scenario_id"]: _checkpoint(row) for row in rows}
    return [claimed.get(fence.scenario_id) for fence in fences]


def _checkpoint(row: Record) -> Checkpoint:
    return Checkpoint(
        next_frame=row["next_frame"],
        is_finished=row["finished"],
        candidates=row["eligible"],
        replay_frame=row["replay_frame"],
        replay_sampled=row["replay_sampled"],
        counters=Counters(
            row["frames_sampled"], row["frames_dropped"], row["frames_failed"], row["detections"]
        ),
        position_seconds=row["position_seconds"],
        # Times must not decrease if a clock was set back: they are found by binary search.
        unix_offset=max(row["claimed_at"], row["position_seconds"]) - time.monotonic(),
        last_detector_error=row["last_detector_error"],
        is_live=row["live"],
        pins=None if row["pins"] is None else _pins.decode(row["pins"]),
        warnings=_warnings.decode(row["warnings"]),
        sizes=_sizes.decode(row["sizes"]),
        source_changes=row["source_changes"],
        was_lost=row["source_loss"] is not None,
        source_patience=row["source_patience"],
        analysis=SavedAnalysis(row["analysis_frame"], row["analysis_state"] or b""),
        carried=Carried(row["next_track_id"], row["next_event_id"], _cooldowns.decode(row["cooldowns"])),
        open_events=_open_events(row),
        footage=None if row["footage"] is None else _footage.decode(row["footage"]),
    )


def _open_events(row: Record) -> tuple[OpenEvent, ...]:
    """Return the open events; those after the last end have that one."""
    ends = list(zip(row["open_end_frames"], row["open_end_times"], strict=True))
    return tuple(
        [OpenEvent(event_id, *ends[min(n, len(ends) - 1)]) for n, event_id in enumerate(row["open_events"])]
    )
