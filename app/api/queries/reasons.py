"""Why scenarios do not go on at the moment, and what users should know of their results."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Struct

from ...domain.analysis import Tracking
from ...domain.features import FEATURES_OF_0_1_0
from ...domain.pins import PinChange
from ...domain.reason import DetectorWait, Reason, ScenarioWarning, SourceLoss
from ...domain.rule_warnings import sampling_warning
from ...domain.sampling import Sampling
from ...postgres import Database
from ...scenarios.leadership import APPLICATION, LOCK
from .progress import StoredProgress, source_state_of

_loss = msgspec.json.Decoder(SourceLoss)
_wait = msgspec.json.Decoder(DetectorWait)
_changes = msgspec.json.Decoder(list[PinChange])
_sampling: msgspec.json.Decoder[Sampling | None] = msgspec.json.Decoder(Sampling | None)
_tracking: msgspec.json.Decoder[Tracking | None] = msgspec.json.Decoder(Tracking | None)
_warnings = msgspec.json.Decoder(list[ScenarioWarning])


class _LiveRunner(Struct, frozen=True):
    slots: int
    used: int
    features: frozenset[str]


async def list_waiting_reasons(
    scenarios: Database, rows: Iterable[Record], heartbeat_timeout: float
) -> dict[UUID, Reason]:
    """Return for each of these rows that waits for a runner why it does, if a reason is known."""
    waiting = [row for row in rows if row["state"] == "init_startup"]
    if not waiting:
        return {}
    runners = await _list_live_runners(scenarios, heartbeat_timeout)
    reasons = {row["id"]: _waiting_reason(row, runners) for row in waiting}
    if None in reasons.values() and await _is_held_up_by_old_leader(scenarios):
        for row in waiting:
            reasons[row["id"]] = reasons[row["id"]] or Reason("old_orchestrator", _OLD, row["updated_at"])
    return {scenario_id: reason for scenario_id, reason in reasons.items() if reason is not None}


async def _is_held_up_by_old_leader(scenarios: Database) -> bool:
    """Return whether an orchestrator leads that cannot read one of the waiting scenarios.

    Then it fails before it gives out any. Only connections of newer leaders have a name.
    """
    sql = """
        SELECT EXISTS (
            SELECT FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
             WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
               AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND (l.classid::bigint << 32 | l.objid::bigint) = $1
               AND a.application_name IS DISTINCT FROM $2
        ) AND EXISTS (SELECT FROM scenarios WHERE state = 'init_startup' AND NOT needs <@ $3::text[])
    """
    async with scenarios.connection() as connection:
        found: bool = await connection.fetchval(sql, LOCK, APPLICATION, sorted(FEATURES_OF_0_1_0))
    return found


async def list_reasons(
    scenarios: Database,
    rows: Sequence[Record],
    stored: Mapping[UUID, StoredProgress],
    heartbeat_timeout: float,
) -> dict[UUID, Reason]:
    """Return for each of these rows that does not go on why it does not."""
    losses = {row["id"]: run_reason(row, stored[row["id"]]) for row in rows}
    lost = {scenario_id: reason for scenario_id, reason in losses.items() if reason is not None}
    return lost | await list_waiting_reasons(scenarios, rows, heartbeat_timeout)


async def _list_live_runners(scenarios: Database, heartbeat_timeout: float) -> list[_LiveRunner]:
    sql = """
        SELECT r.slots, count(s.id) AS used, r.features
          FROM runners r LEFT JOIN scenarios s USING (runner_id, boot_id)
         WHERE NOT r.superseded AND r.left_at IS NULL
           AND r.heartbeat_at > clock_timestamp() - make_interval(secs => $1)
         GROUP BY r.runner_id, r.boot_id
    """
    async with scenarios.connection() as connection:
        rows = await connection.fetch(sql, heartbeat_timeout)
    return [
        _LiveRunner(
            row["slots"],
            row["used"],
            FEATURES_OF_0_1_0 if row["features"] is None else frozenset(row["features"]),
        )
        for row in rows
    ]


def _waiting_reason(row: Record, runners: Sequence[_LiveRunner]) -> Reason | None:
    since = row["updated_at"]
    if row["is_backing_off"] and row["error"]:
        return Reason("retrying", row["error"], since, count=row["failures"])
    if not runners:
        return Reason("no_runner", "No runner is alive. Start one.", since)
    needs = frozenset(row["needs"])
    able = [runner for runner in runners if needs <= runner.features]
    if not able:
        missing = ", ".join(sorted(needs - runners[0].features))
        text = f"No runner has what it needs ({missing}). Upgrade a runner, or install the detector there."
        return Reason("no_feature", text, since)
    slots, used = sum(runner.slots for runner in able), sum(runner.used for runner in able)
    if used >= slots:
        text = (
            f"{used} of {slots} slots are in use. Stop a scenario, or add slots (VA_RUNNER_SLOTS) or runners."
        )
        return Reason("no_slot", text, since)
    return None


_OLD = (
    "An orchestrator of release 0.1.0 leads, and cannot read a scenario that waits: it gives out none."
    " Stop it, or upgrade it."
)
NO_SPACE = "No space is left on the disk of VA_DATA_DIR, where the databases are. Make room: then it goes on."


def space_reason(state: str, full_since: datetime | None) -> Reason | None:
    """Return the reason of a scenario in this state if the disk has been full since then."""
    return None if full_since is None or state == "inactive" else Reason("no_space", NO_SPACE, full_since)


def loss_reason(row: Record, stored: StoredProgress) -> Reason | None:
    """Return why a live source is reconnecting, or None if it is not."""
    if source_state_of(row, stored) != "reconnecting" or not (stored.source_loss and stored.source_lost_at):
        return None
    loss = _loss.decode(stored.source_loss)
    last = datetime.fromtimestamp(stored.position_seconds, UTC) if stored.next_frame else None
    return Reason("reconnecting", loss.error, stored.source_lost_at, count=loss.tries, last_frame_at=last)


def wait_reason(row: Record, stored: StoredProgress) -> Reason | None:
    """Return what the detector of a run waits for, or None if it goes on."""
    if source_state_of(row, stored) is None or not (stored.detector_wait and stored.detector_waits_since):
        return None
    wait = _wait.decode(stored.detector_wait)
    return Reason("no_inference_server", wait.text, stored.detector_waits_since, count=wait.tries)


def run_reason(row: Record, stored: StoredProgress) -> Reason | None:
    """Return why the run of a scenario does not go on, or None if it does or there is none."""
    return loss_reason(row, stored) or wait_reason(row, stored)


def warnings_of(row: Record, stored: StoredProgress) -> list[ScenarioWarning]:
    """Return what users should know of a scenario's rules (sampling, tracking) and of its stored results."""
    rare = _sampling_warning(row)
    changes = [
        ScenarioWarning("pins_changed", f"{change.text[:1].upper()}{change.text[1:]}.", change.frame)
        for change in _changes.decode(stored.pin_changes)
    ]
    return [*([rare] if rare else []), *changes, *_warnings.decode(stored.warnings)]


def _sampling_warning(row: Record) -> ScenarioWarning | None:
    try:
        sampling = _sampling.decode(row["sampling"] or "null")
        return sampling_warning(sampling, _tracking.decode(row["tracking"] or "null"))
    except msgspec.ValidationError:  # of a newer version
        return None
