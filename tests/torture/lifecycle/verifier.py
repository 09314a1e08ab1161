"""Reads the scenarios database and says what in it cannot have come about by what was really sent."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from uuid import UUID

import asyncpg
import msgspec

from app.messages import (
    DeleteScenario,
    LifecycleCommand,
    RunEvent,
    RunFailed,
    RunFinished,
    RunReleased,
    RunStarted,
    RunStopped,
    StartScenario,
    StopScenario,
)
from app.postgres import Connection
from tests.support.ground_truth import NEXT, is_disordered

LEGAL = NEXT | {"inactive": {"init_startup", "inactive"}}
"""Which states may follow each; from inactive to itself goes a delete, and a finish that was heard late."""

ENDS = (RunStopped, RunFinished, RunFailed, RunReleased)
Run = tuple[UUID, int]


@dataclass
class Truth:
    """What was really sent, as whoever sent it remembers."""

    commands: dict[UUID, LifecycleCommand] = field(default_factory=dict)
    said: dict[type[RunEvent], set[Run]] = field(
        default_factory=lambda: {kind: set() for kind in (RunStarted, *ENDS)}
    )
    lost: set[Run] = field(default_factory=set)
    """Runs that nothing was heard of for longer than leases last, or whose instance was replaced."""

    def count(self, kind: type[LifecycleCommand], scenario_id: UUID) -> int:
        """How many different commands of a kind were sent about a scenario."""
        return sum(
            isinstance(each, kind) and each.scenario_id == scenario_id for each in self.commands.values()
        )

    def ended(self, run: Run) -> bool:
        """Whether a run may be over, other than by a stop."""
        return run in self.lost or any(run in self.said[kind] for kind in ENDS)


@dataclass
class Verdict:
    """How much was looked at, and what was wrong."""

    transitions: int = 0
    messages: int = 0
    illegal: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Verdict") -> "Verdict":
        self.transitions += other.transitions
        self.messages += other.messages
        self.illegal += other.illegal
        return self


async def verify(connection: Connection, truth: Truth) -> Verdict:
    """Judge every scenario in the database."""
    verdict = Verdict()
    history = await connection.fetch(
        "SELECT scenario_id, from_state, to_state, attempt, runner_id, xid FROM scenario_events ORDER BY id"
    )
    outbox = await connection.fetch("SELECT key, message FROM outbox ORDER BY id")
    for row in await connection.fetch("SELECT * FROM scenarios"):
        events = [event for event in history if event["scenario_id"] == row["id"]]
        sent = [msgspec.json.decode(each["message"]) for each in outbox if each["key"] == str(row["id"])]
        verdict.transitions += len(events)
        verdict.messages += len(sent)
        wrong = [*_transitions(row, events, truth), *_commands(row, events, truth), *_messages(events, sent)]
        if is_disordered(events):
            wrong.append("event streams tell another order")
        verdict.illegal += [f"{row['id']}: {each}" for each in wrong]
    handled = await connection.fetch("SELECT command_id FROM handled_commands")
    if {each["command_id"] for each in handled} != set(truth.commands):
        verdict.illegal.append("a command has no answer")
    return verdict


def _transitions(row: asyncpg.Record, events: list[asyncpg.Record], truth: Truth) -> list[str]:
    wrong = []
    before, attempt = None, 0
    for event in events:
        after, run = event["to_state"], (row["id"], event["attempt"])
        if event["from_state"] != before or after not in LEGAL[before]:
            wrong.append(f"from {before} to {after}")
        if event["attempt"] != attempt + (after == "init_startup"):
            wrong.append(f"attempt {event['attempt']} after {attempt} in {after}")
        if not _is_caused(before, after, run, truth):
            wrong.append(f"from {before} to {after} in attempt {event['attempt']}, but nothing said so")
        before, attempt = after, event["attempt"]
    if (row["state"], row["attempt"]) != (before, attempt):
        wrong.append(f"it is in {row['state']}, {row['attempt']}, its history in {before}, {attempt}")
    if (row["outcome"] is not None) != (row["state"] == "inactive"):
        wrong.append(f"{row['state']} with outcome {row['outcome']}")
    if row["outcome"] == "completed" and (row["id"], row["attempt"]) not in truth.said[RunFinished]:
        wrong.append("it completed, but its run did not say so")
    return wrong


def _is_caused(before: str | None, after: str, run: Run, truth: Truth) -> bool:
    """Whether a run said, or was lost to, what made its scenario move; commands are counted instead."""
    match before, after:
        case _, "active":
            return run in truth.said[RunStarted]
        case "in_startup_processing" | "active", "init_startup":
            scenario_id, attempt = run
            return truth.ended((scenario_id, attempt - 1))
        case "in_startup_processing" | "active" | "in_shutdown_processing", "inactive":
            return truth.ended(run)
        case _:
            return True


def _commands(row: asyncpg.Record, events: list[asyncpg.Record], truth: Truth) -> list[str]:
    """A command has its effect once."""
    moves = Counter((event["from_state"], event["to_state"]) for event in events)
    effects: dict[type[LifecycleCommand], int] = {
        StartScenario: moves["inactive", "init_startup"],
        StopScenario: sum(count for (_, after), count in moves.items() if after == "init_shutdown"),
        DeleteScenario: int(row["deleted_at"] is not None),
    }
    return [
        f"{effect} effects of {kind.__name__}, of which {truth.count(kind, row['id'])} were sent"
        for kind, effect in effects.items()
        if effect > truth.count(kind, row["id"])
    ]


def _messages(events: list[asyncpg.Record], sent: list[dict[str, object]]) -> list[str]:
    """The outbox says what the history says: no more, no less, and in its order."""
    wanted = [
        ({"in_startup_processing": "StartRun", "in_shutdown_processing": "StopRun"}[after], event["attempt"])
        for event in events
        if (after := event["to_state"]) in ("in_startup_processing", "in_shutdown_processing")
    ]
    found = [(each["type"], each["attempt"]) for each in sent if each["type"] != "DropResults"]
    wrong = [
        f"attempt {attempt} was dispatched twice"
        for (kind, attempt), count in Counter(found).items()
        if kind == "StartRun" and count > 1
    ]
    # A runner that holds on to what is not its own is told to stop as often as it takes.
    rest = iter(found)
    if any(each not in rest for each in wanted):
        wrong.append(f"{wanted} happened, and {found} was sent")
    if [attempt for kind, attempt in found if kind == "StartRun"] != [
        attempt for kind, attempt in wanted if kind == "StartRun"
    ]:
        wrong.append(f"{found} was sent, and {wanted} happened")
    deleted = sum(later["to_state"] == "inactive" for _, later in pairwise(events))
    drops = sum(each["type"] == "DropResults" for each in sent)
    if drops > min(1, deleted):
        wrong.append(f"results were dropped {drops} times")
    return wrong
