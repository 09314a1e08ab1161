"""The change stream behind GET /stream: tells open event streams what changes in the scenarios.

Each event stream reads its own rows after its own position, so that it can be resumed on any api process.
They share the knowledge of when to read: one task listens for notifications, and also polls, because a change
is readable only when every older transaction has ended; another task reads progress each second.
"""

import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from math import inf
from uuid import UUID

import msgspec
import structlog
from anyio import (
    TASK_STATUS_IGNORED,
    CancelScope,
    Event,
    create_task_group,
    current_time,
    move_on_after,
    sleep,
)
from anyio.abc import TaskStatus
from asyncpg import PostgresError
from msgspec import Struct

from ..domain.reason import Reason, ScenarioWarning
from ..domain.states import SourceState
from ..postgres import TRANSIENT
from ..scenarios.json_columns import decode_media
from ..scenarios.notifications import CHANNEL
from .event_feed import EventFeed
from .http.problems import BAD_REQUEST, GONE, TOO_MANY_STREAMS, ProblemError
from .options import ApiDeps, ApiOptions
from .queries.history import (
    ScenarioChange,
    StreamPosition,
    list_new_source_changes,
    misses_old_changes,
    read_changes,
    read_newest,
    read_present,
)
from .queries.progress import Progress, list_stored_progress, progress_of, source_state_of
from .queries.reasons import list_reasons, space_reason, warnings_of
from .queries.scenarios import find_unended

log = structlog.get_logger(__name__)

_POLL = 1.0  # seconds between polls for changes, and between progress events
_PENDING_POLL = 0.05  # seconds between polls while a change waits for an older transaction
_MAX_AGE = timedelta(days=1)  # of the changes that a client which reconnects is sent
_MAX_WAITING = 100  # scenarios without a runner of which progress is sent
_BATCH = 200  # changes in one query
_MAX_TOLD = 60  # seconds whose events without ids are kept for streams that are read slowly
_FAULTS: tuple[type[Exception], ...] = (PostgresError, *TRANSIENT)  # no fault of a database ends the process


class ProgressEvent(Struct, frozen=True):
    """How far a scenario is, and what keeps it from going on."""

    scenario_id: UUID
    attempt: int
    source_state: SourceState | None
    progress: Progress
    reason: Reason | None
    warnings: list[ScenarioWarning]


class ChangeStream:
    """Tells open event streams about changes and progress. Without any, it does not query the databases."""

    def __init__(self, deps: ApiDeps, options: ApiOptions) -> None:
        self._scenarios = deps.scenarios
        self._predictions = deps.predictions
        self._full_since = deps.full_since
        self._options = options
        self._clients = 0
        self._has_clients = Event()
        self._changed = Event()  # replaced whenever it is set: a client takes it before it reads
        self._newest = StreamPosition(0, 0)
        self._progress = b""
        self._progress_count = 0
        self._told: deque[tuple[int, bytes]] = deque(maxlen=_MAX_TOLD)
        self._is_closed = False

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Serve the event streams until cancelled or until shutdown begins; then they end."""
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._while_watched, self._follow_changes)
                tasks.start_soon(self._while_watched, self._follow_progress)
                task_status.started()
                await self._options.shutting_down.wait()
                tasks.cancel_scope.cancel()
        finally:
            self._is_closed = True
            self._wake_clients()

    async def open(self, last_event_id: str | None, seconds: float = inf) -> AsyncGenerator[bytes, None]:
        """Return an event stream of everything after an event, or from now on. It ends after `seconds`.

        Raises ProblemError: 400 if this service never sent the id, 410 if changes since then are older than a
        day, 503 if too many streams are open.
        """
        position, next_xid = await read_present(self._scenarios)
        if last_event_id is not None:
            position = _parse_event_id(last_event_id)
            if position.xid > next_xid:
                raise _unknown_event()
            if await misses_old_changes(self._scenarios, position, _MAX_AGE):
                raise _too_old()
        if self._clients >= self._options.max_streams:
            detail = (
                f"At most {self._options.max_streams} event streams may be open in a process, counted over"
                " all clients. Close one, or try again later."
            )
            raise ProblemError(TOO_MANY_STREAMS, detail, headers={"Retry-After": "5"})
        return self._events(position, current_time() + seconds)

    async def _events(self, position: StreamPosition, deadline: float) -> AsyncGenerator[bytes, None]:
        self._clients += 1
        self._has_clients.set()
        try:
            # The id comes first, so that a client that loses the connection before any event misses nothing.
            yield f"retry: 2000\nid: {position}\n\n".encode()
            progress_count = self._progress_count
            must_read = True
            while not self._is_closed and (left := deadline - current_time()) > 0:
                changed = self._changed
                wait = min(self._options.keep_alive, left)
                if must_read or self._newest > position:
                    try:
                        changes, position = await read_changes(self._scenarios, position, _BATCH)
                    except _FAULTS as error:
                        log.warning("event stream cannot read changes", error=repr(error))
                        must_read, wait = True, min(_POLL, left)
                    else:
                        if changes:
                            yield b"".join(map(_change_event, changes))
                        must_read = len(changes) == _BATCH or bool(changes and self._newest > position)
                        if must_read:
                            continue
                if self._progress_count != progress_count:
                    missed = [events for count, events in self._told if count > progress_count]
                    progress_count = self._progress_count
                    yield b"".join([*missed, self._progress])
                with move_on_after(wait) as silence:
                    await changed.wait()
                if silence.cancelled_caught:
                    yield b": still here\n\n"
        finally:
            self._clients -= 1
            if not self._clients:
                self._has_clients = Event()

    def _wake_clients(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()

    async def _while_watched(self, follow: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._has_clients.wait()
            try:
                await follow()
            except _FAULTS as error:
                log.warning("the change stream lost a database connection; it reconnects", error=repr(error))
                await sleep(_POLL)

    async def _follow_changes(self) -> None:
        notified = Event()

        def on_notification(*_: object) -> None:
            notified.set()

        async with self._scenarios.connection() as connection:
            await connection.add_listener(CHANNEL, on_notification)
            try:
                while self._clients:
                    notified = Event()
                    newest = await read_newest(connection)
                    if newest.position > self._newest:
                        self._newest = newest.position
                        self._wake_clients()
                    with move_on_after(_PENDING_POLL if newest.is_pending else _POLL):
                        await notified.wait()
            finally:
                with CancelScope(shield=True), move_on_after(1):
                    await connection.remove_listener(CHANNEL, on_notification)

    async def _follow_progress(self) -> None:
        seen: dict[UUID, int] = {}  # the latest change of each scenario's source
        feed = EventFeed(self._predictions)
        await feed.begin()
        while self._clients:
            rows = await find_unended(self._scenarios, _MAX_WAITING)
            unended = [row["id"] for row in rows]
            ended = seen.keys() - unended  # since the last time: what ended them is told, too
            stored = await list_stored_progress(self._predictions, [*unended, *ended])
            timeout = self._options.heartbeat_timeout
            reasons = await list_reasons(self._scenarios, rows, stored, timeout)
            latest = {scenario_id: each.source_changes for scenario_id, each in stored.items()}
            new = {each: seen[each] for each, number in latest.items() if number > seen.get(each, number)}
            changes = await list_new_source_changes(self._predictions, new)
            seen = {each: latest[each] for each in unended}
            told = [b"event: source\ndata: %b\n\n" % _json(change) for change in changes]
            told += [b"event: event\ndata: %b\n\n" % _json(event) for event in await feed.read()]
            if told:
                self._told.append((self._progress_count + 1, b"".join(told)))
            if rows or told:
                events = [
                    ProgressEvent(
                        scenario_id=row["id"],
                        attempt=row["attempt"],
                        source_state=source_state_of(row, stored[row["id"]]),
                        progress=progress_of(row, decode_media(row["media"]), stored[row["id"]]),
                        reason=space_reason(row["state"], self._full_since()) or reasons.get(row["id"]),
                        warnings=warnings_of(stored[row["id"]]),
                    )
                    for row in rows
                ]
                self._progress = b"".join(b"event: progress\ndata: %b\n\n" % _json(event) for event in events)
                self._progress_count += 1
                self._wake_clients()
            await sleep(_POLL)


_json = msgspec.json.Encoder().encode


def _change_event(change: ScenarioChange) -> bytes:
    return b"event: scenario\nid: %b\ndata: %b\n\n" % (change.id.encode(), _json(change))


def _parse_event_id(event_id: str) -> StreamPosition:
    if not (numbers := re.fullmatch(r"(\d{1,20})-(\d{1,19})", event_id, re.ASCII)):
        raise _unknown_event()
    position = StreamPosition(int(numbers[1]), int(numbers[2]))
    if position.id >= 2**63:
        raise _unknown_event()
    return position


def _unknown_event() -> ProblemError:
    detail = (
        "Last-Event-ID is not an event of this service. Connect without it, and read missed changes from"
        " GET /scenarios/{id}/history."
    )
    return ProblemError(BAD_REQUEST, detail, field="Last-Event-ID")


def _too_old() -> ProblemError:
    detail = (
        "Changes since this Last-Event-ID are older than a day. Connect without it, and read missed changes"
        " from GET /scenarios/{id}/history."
    )
    return ProblemError(GONE, detail, field="Last-Event-ID")
