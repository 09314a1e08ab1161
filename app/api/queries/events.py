"""Pages of events: of one scenario by their time in the video, or of all scenarios.

Kind, name and label of events have few combinations. If one of them is wanted, these are found by steps
through an index that begins with them, and the first events of each are merged: so a page reads no more
than it needs, however rare the events are.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Annotated, Literal
from uuid import UUID

from asyncpg import Record
from msgspec import Meta, Struct, structs

from ...domain.event import Event, EventKind, EventState
from ...domain.prediction import Box
from ...postgres import Database
from ...predictions.events import decode_event

Order = Literal["asc", "desc"]
MAX_EVENT_ID = 2**63 - 1

_Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
_GROUPS = ("kind", "name", "label")  # in the order of the indexes
_ROUNDS, _ROUND = 5, 1000  # queries for a page, and their events, if those of deleted scenarios are skipped


class EventPicture(Struct, frozen=True):
    """A picture of an event, which may be smaller than the frame that it shows.

    `time`: of the frame, as in predictions. `box`: what the event is about, in pixels of the frame, which is
    `width` × `height`; both are null if that is not known.
    """

    path: Annotated[str, Meta(description="of the JPEG, below the address of the service")]
    frame: int
    time: float
    box: Box
    width: int | None
    height: int | None


class StoredEvent(Event, frozen=True):
    """What happened in a scenario's video."""

    scenario_id: UUID
    at: Annotated[
        datetime | None,
        Meta(description="when it began; null if only the time in the recording is known"),
    ]
    picture: Annotated[
        EventPicture | None,
        Meta(
            description="the picture that a live source keeps of an `object` or `alert`; null: none is stored"
        ),
    ] = None


class EventPage(Struct, frozen=True):
    """Events. `next_cursor` is null if there are no more now."""

    items: list[StoredEvent]
    next_cursor: str | None


class EventFilter(Struct, frozen=True, kw_only=True):
    """Which events to return: those that all of these fit which are not None."""

    kind: EventKind | None = None
    label: str | None = None
    name: str | None = None
    track_id: int | None = None
    state: EventState | None = None


class VideoPosition(Struct, frozen=True, array_like=True):
    """The last event of a page, in the order of their beginning in the video."""

    scenario_id: UUID
    start_time: float
    event_id: _Number


class StoragePosition(Struct, frozen=True, array_like=True):
    """The last event of a page, in the order of storing."""

    storage_order: _Number


class ClockPosition(Struct, frozen=True, array_like=True):
    """The last event of a page, in the order of the time of day."""

    at: Annotated[datetime, Meta(tz=True)]
    scenario_id: UUID
    event_id: _Number


async def find_event(predictions: Database, scenario_id: UUID, event_id: int) -> StoredEvent | None:
    """Return an event of a scenario; None if it has no such event, or it was removed."""
    if not 1 <= event_id <= MAX_EVENT_ID:
        return None
    async with predictions.connection() as connection:
        row = await connection.fetchrow(
            "SELECT * FROM current_events WHERE scenario_id = $1 AND event_id = $2", scenario_id, event_id
        )
    return None if row is None else to_stored_event(row)


async def list_events(
    predictions: Database,
    scenario_ids: Sequence[UUID],
    wanted: EventFilter,
    between: tuple[float | None, float | None],
    order: Order,
    after: VideoPosition | None,
    limit: int,
) -> tuple[list[StoredEvent], VideoPosition | None]:
    """Return up to `limit` events of one scenario after another, and the position of the next page.

    The position is None if there are no more. `after` is of one of the scenarios. `between` bounds the time
    in the video at which events begin, in seconds; the second is exclusive.
    """
    first = 0 if after is None else list(scenario_ids).index(after.scenario_id)
    found: list[Record] = []
    async with predictions.connection() as connection:
        for scenario_id in scenario_ids[first:]:
            page = _Page(("start_time", "event_id"), order, limit + 1 - len(found), scenario_id)
            page.bound("start_time", between)
            if after is not None and after.scenario_id == scenario_id:
                page.begin_after(after.start_time, after.event_id)
            found += await connection.fetch(page.sql(wanted), *page.values)
            if len(found) > limit:
                break
    items = [to_stored_event(row) for row in found[:limit]]
    if len(found) <= limit:
        return items, None
    return items, VideoPosition(items[-1].scenario_id, items[-1].start_time, items[-1].event_id)


async def list_stored_events(
    scenarios: Database,
    predictions: Database,
    wanted: EventFilter,
    order: Order,
    after: StoragePosition | None,
    limit: int,
) -> tuple[list[StoredEvent], StoragePosition | None]:
    """Return up to `limit` events of all scenarios as they were stored, and the position of the next page.

    There may be fewer, or none, if the events of deleted scenarios are not removed yet.
    """
    rows, more = await _skip_deleted(
        scenarios,
        predictions,
        wanted,
        _Order(("storage_order",), order, {}),
        None if after is None else (after.storage_order,),
        limit,
    )
    return [to_stored_event(row) for row in rows], None if more is None else StoragePosition(
        more["storage_order"]
    )


async def list_dated_events(
    scenarios: Database,
    predictions: Database,
    wanted: EventFilter,
    between: tuple[datetime | None, datetime | None],
    order: Order,
    after: ClockPosition | None,
    limit: int,
) -> tuple[list[StoredEvent], ClockPosition | None]:
    """Return up to `limit` events of all scenarios whose `at` is known, and the position of the next page.

    `between` bounds when they begin; the second is exclusive. There may be fewer, or none, if the events of
    deleted scenarios are not removed yet.
    """
    rows, more = await _skip_deleted(
        scenarios,
        predictions,
        wanted,
        _Order(("at", "scenario_id", "event_id"), order, {"at": between}),
        None if after is None else (after.at, after.scenario_id, after.event_id),
        limit,
    )
    position = None if more is None else ClockPosition(more["at"], more["scenario_id"], more["event_id"])
    return [to_stored_event(row) for row in rows], position


class _Order(Struct, frozen=True):
    """The order of a list, and the bounds of its columns."""

    keys: tuple[str, ...]
    order: Order
    bounds: Mapping[str, tuple[datetime | None, datetime | None]]


async def _skip_deleted(
    scenarios: Database,
    predictions: Database,
    wanted: EventFilter,
    by: _Order,
    after: tuple[object, ...] | None,
    limit: int,
) -> tuple[list[Record], Record | None]:
    """Return up to `limit` rows of scenarios that exist, and the row after which the next page begins."""
    found: list[Record] = []
    last: Record | None = None
    for number in range(_ROUNDS):
        size = max(limit, _ROUND) if number else limit
        page = _Page(by.keys, by.order, size + 1)
        for column, bounds in by.bounds.items():
            page.bound(column, bounds)
        if last is not None:
            page.begin_after(*(last[key] for key in by.keys))
        elif after is not None:
            page.begin_after(*after)
        async with predictions.connection() as connection:
            rows = await connection.fetch(page.sql(wanted), *page.values)
        existing = await _existing(scenarios, {row["scenario_id"] for row in rows})
        for row in rows[:size]:
            if len(found) == limit:
                return found, last
            last = row
            if row["scenario_id"] in existing:
                found.append(row)
        if len(rows) <= size:
            return found, None
        if len(found) == limit:
            break
    return found, last


async def _existing(scenarios: Database, scenario_ids: set[UUID]) -> set[UUID]:
    """Return those of the scenarios that were not deleted."""
    sql = "SELECT id FROM scenarios WHERE id = ANY($1) AND deleted_at IS NULL"
    async with scenarios.connection() as connection:
        return {row["id"] for row in await connection.fetch(sql, list(scenario_ids))}


class _Page:
    """The query of a page, of one scenario or of all.

    `keys` are the columns of its order; at most `limit` rows are read.
    """

    def __init__(
        self, keys: tuple[str, ...], order: Order, limit: int, scenario_id: UUID | None = None
    ) -> None:
        self.values: list[object] = []
        self._keys = ", ".join(f"e.{key}" for key in keys)
        self._comparison = ">" if order == "asc" else "<"
        self._end = f"ORDER BY {', '.join(f'e.{key} {order}' for key in keys)} LIMIT {self._add(limit)}"
        self._owner = "true" if scenario_id is None else f"scenario_id = {self._add(scenario_id)}"
        self._scope = f"{self._owner} AND at IS NOT NULL" if "at" in keys else self._owner
        self._conditions: list[str] = []

    def _add(self, value: object) -> str:
        self.values.append(value)
        return f"${len(self.values)}"

    def bound(self, column: str, between: tuple[object, object]) -> None:
        """Return only rows from the first bound on and before the second, if they are given."""
        for comparison, value in zip((">=", "<"), between, strict=True):
            if value is not None:
                self._conditions.append(f"e.{column} {comparison} {self._add(value)}")

    def begin_after(self, *position: object) -> None:
        """Return only rows after this one, in the order of the page."""
        places = ", ".join(map(self._add, position))
        self._conditions.append(f"({self._keys}) {self._comparison} ({places})")

    def sql(self, wanted: EventFilter) -> str:
        """Return the query of the wanted rows; `values` are those of its parameters."""
        track = None if wanted.track_id is None else f"track_id = {self._add(wanted.track_id)}"
        state = [] if wanted.state is None else [f"e.state = {self._add(wanted.state)}"]
        groups = {
            column: f"{column} = {self._add(value)}"
            for column in _GROUPS
            if (value := getattr(wanted, column)) is not None
        }
        if wanted.state in ("open", "interrupted"):  # few, and their checkpoints name them
            source = f"""
                (SELECT scenario_id, unnest(open_events) AS event_id FROM checkpoints
                  WHERE {self._owner} AND open_events <> '{{}}') AS unended,
                LATERAL (SELECT * FROM current_events WHERE scenario_id = unended.scenario_id
                            AND event_id = unended.event_id AND {self._scope} OFFSET 0) AS e
            """  # noqa: S608
        elif track:  # of which the index has them in their order
            source = f"(SELECT * FROM current_events WHERE {self._scope} AND {track}) AS e"  # noqa: S608
        elif groups:
            return self._grouped(groups, [*self._conditions, *state])
        else:
            source = f"(SELECT * FROM current_events WHERE {self._scope}) AS e"  # noqa: S608
        conditions = [*self._conditions, *state, *([f"e.{track}"] if track else [])]
        conditions += [f"e.{group}" for group in groups.values()]
        return f"SELECT e.* FROM {source} {_where(conditions)} {self._end}"  # noqa: S608

    def _grouped(self, groups: dict[str, str], conditions: list[str]) -> str:
        """Return the query that merges the first rows of each combination of kind, name and label."""
        fixed = list(takewhile(groups.__contains__, _GROUPS))
        steps = " AND ".join([self._scope, *(groups[column] for column in fixed)])
        step = f"""
            SELECT kind, name, label FROM events WHERE {steps} {{}} ORDER BY kind, name, label LIMIT 1
        """  # noqa: S608
        # A column that is compared twice would make PostgreSQL read all of its rows again in each step.
        free = _GROUPS[len(fixed) :]
        reached = ", ".join(f"groups.{column}" for column in free)
        following = f"AND ({', '.join(free)}) > ({reached})" if free else "AND false"
        return f"""
            WITH RECURSIVE groups AS (
                ({step.format("")})
                UNION ALL
                SELECT next.* FROM groups, LATERAL ({step.format(following)}) AS next
            )
            SELECT e.* FROM (SELECT * FROM groups {_where(groups.values())}) AS g, LATERAL (
                SELECT e.* FROM current_events AS e {
            _where([self._scope, "kind = g.kind", "name = g.name", "label = g.label", *conditions])
        } {self._end}) AS e
            {self._end}
        """  # noqa: S608


def _where(conditions: Iterable[str]) -> str:
    text = " AND ".join(conditions)
    return f"WHERE {text}" if text else ""


def to_stored_event(row: Record) -> StoredEvent:
    event = structs.asdict(decode_event(row))
    return StoredEvent(**event, scenario_id=row["scenario_id"], at=row["at"])
