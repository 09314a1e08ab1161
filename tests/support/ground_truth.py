"""What must stand in both databases after any disturbance, and what does: read from their rows alone.

The clips are named after their number of frames (`900.mp4`), and each frame shows its own number. Nothing of
the service is asked or used: neither its API and counters, nor its lifecycle and its sampling.
"""

import json
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import asyncpg
from msgspec import Struct, field

from tests.support.clips import marker_box, marker_clip

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]

SIZE = (256, 192)
NEXT: dict[str | None, set[str]] = {
    None: {"init_startup"},
    "init_startup": {"in_startup_processing", "init_shutdown"},
    "in_startup_processing": {"active", "init_shutdown", "init_startup", "inactive"},
    "active": {"init_shutdown", "init_startup", "inactive"},
    "init_shutdown": {"in_shutdown_processing", "inactive"},
    "in_shutdown_processing": {"inactive"},
    "inactive": {"init_startup"},
}
"""The states that may follow each."""
"""The lifecycle as the design has it: state → what may follow."""
_EVENTS = """
    SELECT event_id, kind, state, label, track_id, name, direction, start_frame, start_time, end_frame,
           end_time, best_frame, best_time, best_confidence, best_box
      FROM events WHERE scenario_id = $1 ORDER BY event_id
"""


class Findings(Struct):
    """What was found: of `frames` that had to be stored, and of `scenarios` that had to be completed."""

    scenarios: int = 0
    frames: int = 0
    missing: int = 0
    doubled: int = 0
    wrong: int = 0
    stuck: int = 0
    illegal: list[str] = field(default_factory=list)
    disordered: int = 0
    """Scenarios of which event streams tell another order than what came about."""
    idle: int = 0
    """Runners that get no more runs although they were not told to leave."""
    events: int = 0
    differing: int = 0
    """Scenarios with other events, or other ids of them, than the first one of the same specification."""
    missing_events: int = 0
    doubled_events: int = 0
    wrong_events: int = 0
    """Of these scenarios, compared with that one, whatever their ids."""

    @property
    def damage(self) -> bool:
        """Whether anything is not as it must be."""
        lost = self.missing + self.doubled + self.wrong
        return bool(lost or self.stuck or self.illegal or self.disordered or self.idle or self.differing)

    def __str__(self) -> str:
        return (
            f"{self.missing:,} missing, {self.doubled:,} doubled, {self.wrong:,} wrong of {self.frames:,}"
            f" frames; {self.stuck:,} stuck of {self.scenarios:,} scenarios;"
            f" {len(self.illegal):,} illegal histories, {self.disordered:,} told out of order;"
            f" {self.idle:,} runners idle; {self.differing:,} scenarios with other events than another of the"
            f" same specification ({self.events:,} events)"
        )


def make_clips(folder: Path, *lengths: int) -> Path:
    """Clips of so many frames each."""
    for frames in lengths:
        # Without B-frames every frame is one that sampling may choose.
        marker_clip(folder / f"{frames}.mp4", frames=frames, size=SIZE, bframes=0)
    return folder


def expected_frames(spec: dict[str, Any]) -> list[int]:
    """The frames that must be stored of a scenario."""
    frames = range(int(Path(spec["source"]).stem))
    if spec["sampling"]["mode"] == "all":
        return list(frames)
    step = Fraction(spec["sampling"]["fps"]) / 30
    return [frame for frame in frames if frame == 0 or floor(frame * step) != floor((frame - 1) * step)]


async def verify(scenarios: "Connection", predictions: "Connection") -> Findings:
    """Compare all that is stored of recordings with what was asked for, before a runner is told to leave."""
    found = Findings(idle=await idle_runners(scenarios))
    happened: dict[str, list[asyncpg.Record]] = {}
    for scenario in await scenarios.fetch(
        "SELECT id, spec, state, outcome FROM scenarios WHERE NOT is_live ORDER BY created_at, id"
    ):
        found.scenarios += 1
        found.stuck += (scenario["state"], scenario["outcome"]) != ("inactive", "completed")
        events = await scenarios.fetch(
            "SELECT from_state, to_state, attempt, xid FROM scenario_events"
            " WHERE scenario_id = $1 ORDER BY id",
            scenario["id"],
        )
        if wrong := _judge_history([tuple(event)[:3] for event in events], scenario["state"]):
            found.illegal.append(f"{scenario['id']}: {wrong}")
        found.disordered += is_disordered(events)
        rows = await predictions.fetch(
            "SELECT frame, time, labels, boxes FROM predictions WHERE scenario_id = $1 ORDER BY frame",
            scenario["id"],
        )
        _judge_rows(found, expected_frames(json.loads(scenario["spec"])), rows)
        what = await predictions.fetch(_EVENTS, scenario["id"])
        found.events += len(what)
        first = happened.setdefault(scenario["spec"], what)
        if first != what:
            found.differing += 1
            judge_events(found, first, what)
    return found


def is_disordered(events: Sequence[asyncpg.Record]) -> bool:
    """Whether streams, which tell by (xid, id), tell a scenario's events otherwise than in their order."""
    xids = [event["xid"] for event in events]
    return xids != sorted(xids)


async def idle_runners(scenarios: "Connection") -> int:
    """How many instances are taken to be leaving, and get nothing more."""
    found: int = await scenarios.fetchval("SELECT count(*) FROM runners WHERE left_at IS NOT NULL")
    return found


def judge_events(
    found: Findings, expected: Sequence[Iterable[object]], stored: Sequence[Iterable[object]]
) -> None:
    """Count the events that are missing, doubled or wrong, whatever their ids, which come first."""
    before, after = (Counter(repr(tuple(event)[1:]) for event in events) for events in (expected, stored))
    more = after - before
    found.missing_events += (before - after).total()
    found.doubled_events += sum(count for event, count in more.items() if event in before)
    found.wrong_events += sum(count for event, count in more.items() if event not in before)


def _judge_rows(found: Findings, expected: list[int], rows: Sequence[asyncpg.Record]) -> None:
    stored = [row["frame"] for row in rows]
    found.frames += len(expected)
    found.missing += len(set(expected) - set(stored))
    found.doubled += len(stored) - len(set(stored))
    found.wrong += len(set(stored) - set(expected))
    found.wrong += sum(not _shows_its_number(row) for row in rows)


def _shows_its_number(row: asyncpg.Record) -> bool:
    """Whether a row has the one marker that was drawn into its frame, where it was drawn, at its time."""
    frame: int = row["frame"]
    if row["labels"] != f"aruco:{frame % 1000}" or abs(row["time"] - frame / 30) > 1e-6:
        return False
    drawn = marker_box(frame, SIZE)
    return all(
        abs(found - side) <= 2 for found, side in zip(struct.unpack(">4f", row["boxes"]), drawn, strict=True)
    )


def _judge_history(events: list[tuple[str | None, str, int]], state: str) -> str | None:
    """Return what is illegal in the history of a scenario that is now in `state`, or None."""
    if not events or events[0] != (None, "init_startup", 1):
        return f"it begins with {events[:1]}"
    if events[-1][1] != state:
        return f"it is {state}, but its history ends with {events[-1]}"
    for before, after in pairwise(events):
        if after[0] != before[1] or after[1] not in NEXT[before[1]]:
            return f"{before}, then {after}"
        if after[2] != before[2] + (after[1] == "init_startup"):
            return f"attempt {before[2]}, then {after}"
    return None


class Kill(NamedTuple):
    """When a member was killed; `runner_id` if it was a runner, and `led` if it was the leader."""

    role: str
    runner_id: str
    at: datetime
    led: bool


class Interruption(NamedTuple):
    """A run that a kill interrupted; when it was dispatched again, and active or at its end: None if not."""

    scenario_id: UUID
    killed: datetime
    dispatched: datetime | None
    back: datetime | None

    @property
    def seconds(self) -> float:
        """Return for how long no instance had the run."""
        return inf if self.dispatched is None else (self.dispatched - self.killed).total_seconds()

    @property
    def seconds_away(self) -> float:
        """Return for how long it was not active, whatever was killed in between."""
        return inf if self.back is None else (self.back - self.killed).total_seconds()


async def interruptions(scenarios: "Connection", kills: Sequence[Kill]) -> list[Interruption]:
    """Return every run whose runner was killed while it held the run, or before it received it."""
    boots: dict[str, list[datetime]] = {}
    for row in await scenarios.fetch("SELECT runner_id, first_seen_at FROM runners"):
        boots.setdefault(row["runner_id"], []).append(row["first_seen_at"])
    deaths: dict[str, list[datetime]] = {}
    for kill in kills:
        deaths.setdefault(kill.runner_id, []).append(kill.at)
    found = []
    for dispatched, ended, again, back in await _dispatches(scenarios):
        died = _died(
            dispatched["at"], deaths.get(dispatched["runner_id"], []), boots[dispatched["runner_id"]]
        )
        if died is None or (ended is not None and (ended["at"] < died or ended["to_state"] == "inactive")):
            continue
        times = [None if event is None else event["at"] for event in (again, back)]
        found.append(Interruption(dispatched["scenario_id"], died, *times))
    return found


def _died(dispatched: datetime, deaths: list[datetime], boots: list[datetime]) -> datetime | None:
    """Return when a run's instance was killed: after the dispatch, or before if none started since."""
    last = max((death for death in deaths if death <= dispatched), default=None)
    if last is not None and not any(last < boot <= dispatched for boot in boots):
        return last
    return min((death for death in deaths if death > dispatched), default=None)


async def _dispatches(
    scenarios: "Connection",
) -> list[tuple[asyncpg.Record, asyncpg.Record | None, asyncpg.Record | None, asyncpg.Record | None]]:
    """Each time a run was dispatched: how it ended, when it was dispatched again, and active after that."""
    events = await scenarios.fetch(
        "SELECT scenario_id, at, to_state, runner_id FROM scenario_events ORDER BY scenario_id, id"
    )
    found = []
    for place, event in enumerate(events):
        if event["to_state"] == "in_startup_processing":
            later = [each for each in events[place + 1 : place + 24] if each[0] == event[0]]
            ended = next((each for each in later if each["to_state"] in ("init_startup", "inactive")), None)
            again = next((each for each in later if each["to_state"] == "in_startup_processing"), None)
            after = later[later.index(again) :] if again is not None else []
            back = next((each for each in after if each["to_state"] in ("active", "inactive")), None)
            found.append((event, ended, again, back))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed; 0 of none."""
    return sorted(values)[ceil(share * len(values)) - 1] if values else 0.0
