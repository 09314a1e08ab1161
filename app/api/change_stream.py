"""The change stream behind GET /stream: tells open event streams what changes in the scenarios.

Each event stream reads its own rows after its own position in each database, so that it can be resumed on any
api process. They share the knowledge of when to read: one task listens for notifications, and also polls,
because a change is readable only when every older transaction has ended; another task looks for news of
sources and events and reads progress, each second.
"""

import re
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
from msgspec.structs import replace

from ..domain.reason import Reason, ScenarioWarning
from ..domain.states import SourceState
from ..postgres import TRANSIENT
from ..scenarios.json_columns import decode_media
from ..scenarios.notifications import CHANNEL
from .batch_news import BatchNews
from .http.problems import BAD_REQUEST, GONE, TOO_MANY_STREAMS, ProblemError
from .options import ApiDeps, ApiOptions
from .queries.history import ScenarioChange, SourceChange, read_changes
from .queries.news import NewsItem, read_news
from .queries.progress import Progress, list_stored_progress, progress_of, source_state_of
from .queries.reasons import list_reasons, space_reason, warnings_of
from .queries.scenarios import find_unended
from .queries.stream_order import StreamPosition, misses_old_rows, read_newest, read_present

log = structlog.get_logger(__name__)

_POLL = 1.0  # seconds between polls for changes, and between progress events
_PENDING_POLL = 0.05  # seconds between polls while a change waits for an older transaction
_MAX_AGE = timedelta(days=1)  # of the changes that a client which reconnects is sent
_MAX_WAITING = 100  # scenarios without a runner of which progress is sent
_BATCH = 200  # rows in one query
EVENT_ID = r"\d{1,20}-\d{1,19}(-\d{1,20}-\d{1,19})?"
"""The id of an event: a position in the scenarios database and, except in a history, in the predictions'."""

_FAULTS: tuple[type[Exception], ...] = (PostgresError, *TRANSIENT)  # no fault of a database ends the process


class StreamId(Struct, frozen=True):
    """A position in each database: what is before them has been sent."""

    scenarios: StreamPosition
    predictions: StreamPosition

    def __str__(self) -> str:
        return f"{self.scenarios}-{self.predictions}"


_Read = tuple[
    list[bytes], StreamId, bool
]  # events, the position after them, and whether more can be read now


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
        self._newest = StreamId(StreamPosition(0, 0), StreamPosition(0, 0))
        self._progress = b""
        self._progress_count = 0
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

        Raises ProblemError: 400 if this service never sent the id, 410 if what it would tell first is older
        than a day, 503 if too many streams are open.
        """
        position = await self._begin(last_event_id)
        if self._clients >= self._options.max_streams:
            detail = (
                f"At most {self._options.max_streams} event streams may be open in a process, counted over"
                " all clients. Close one, or try again later."
            )
            raise ProblemError(TOO_MANY_STREAMS, detail, headers={"Retry-After": "5"})
        return self._events(position, current_time() + seconds)

    async def _begin(self, last_event_id: str | None) -> StreamId:
        """Return the position of an event, or of now."""
        scenarios, next_change = await read_present(self._scenarios)
        predictions, next_entry = await read_present(self._predictions)
        if last_event_id is None:
            return StreamId(scenarios, predictions)
        last = _parse_event_id(last_event_id, predictions)
        if last.scenarios.xid > next_change or last.predictions.xid > next_entry:
            raise _unknown_event()
        if await misses_old_rows(
            self._scenarios, "scenario_events", last.scenarios, _MAX_AGE
        ) or await misses_old_rows(self._predictions, "stream_entries", last.predictions, _MAX_AGE):
            raise _too_old()
        return last

    async def _events(self, position: StreamId, deadline: float) -> AsyncGenerator[bytes, None]:
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
                if must_read or self._has_news_for(position):
                    must_read = has_more = False
                    for read in (self._read_changes, self._read_news):
                        try:
                            events, position, is_cut = await read(position)
                        except _FAULTS as error:
                            log.warning("event stream cannot read changes", error=repr(error))
                            must_read, wait = True, min(_POLL, left)
                        else:
                            has_more = has_more or is_cut
                            if events:
                                yield b"".join(events)
                    if has_more:
                        must_read = True
                        continue
                if self._progress_count != progress_count:
                    progress_count = self._progress_count
                    yield self._progress
                with move_on_after(wait) as silence:
                    await changed.wait()
                if silence.cancelled_caught:
                    yield b": still here\n\n"
        finally:
            self._clients -= 1
            if not self._clients:
                self._has_clients = Event()

    def _has_news_for(self, position: StreamId) -> bool:
        newest = self._newest
        return newest.scenarios > position.scenarios or newest.predictions > position.predictions

    async def _read_changes(self, position: StreamId) -> _Read:
        changes, last = await read_changes(self._scenarios, position.scenarios, _BATCH)
        events = [_change_event(change, position.predictions) for change in changes]
        is_cut = len(changes) == _BATCH or bool(changes and self._newest.scenarios > last)
        return events, replace(position, scenarios=last), is_cut

    async def _read_news(self, position: StreamId) -> _Read:
        news, last, is_cut = await read_news(
            self._predictions, position.predictions, _BATCH, self._options.path_prefix
        )
        events = [_news_event(item, position.scenarios) for item in news]
        return events, replace(position, predictions=last), is_cut

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
                    newest = await read_newest(connection, "scenario_events")
                    if newest.position > self._newest.scenarios:
                        self._newest = replace(self._newest, scenarios=newest.position)
                        self._wake_clients()
                    with move_on_after(_PENDING_POLL if newest.is_pending else _POLL):
                        await notified.wait()
            finally:
                with CancelScope(shield=True), move_on_after(1):
                    await connection.remove_listener(CHANNEL, on_notification)

    async def _follow_progress(self) -> None:
        batches = BatchNews(self._scenarios)
        while self._clients:
            async with self._predictions.connection() as connection:
                newest = await read_newest(connection, "stream_entries")
            has_news = newest.position > self._newest.predictions
            if has_news:
                self._newest = replace(self._newest, predictions=newest.position)
            rows = await find_unended(self._scenarios, _MAX_WAITING)
            stored = await list_stored_progress(self._predictions, [row["id"] for row in rows])
            reasons = await list_reasons(self._scenarios, rows, stored, self._options.heartbeat_timeout)
            events = [
                ProgressEvent(
                    scenario_id=row["id"],
                    attempt=row["attempt"],
                    source_state=source_state_of(row, stored[row["id"]]),
                    progress=progress_of(row, decode_media(row["media"]), stored[row["id"]]),
                    reason=space_reason(row["state"], self._full_since()) or reasons.get(row["id"]),
                    warnings=warnings_of(row, stored[row["id"]]),
                )
                for row in rows
            ]
            parts = [b"event: progress\ndata: %b\n\n" % _json(event) for event in events]
            parts += await batches.read()
            self._progress = b"".join(parts)
            self._progress_count += bool(parts)
            if parts or has_news:
                self._wake_clients()
            await sleep(_POLL)


_json = msgspec.json.Encoder().encode


def _change_event(change: ScenarioChange, predictions: StreamPosition) -> bytes:
    event_id = f"{change.id}-{predictions}".encode()
    return b"event: scenario\nid: %b\ndata: %b\n\n" % (event_id, _json(change))


def _news_event(item: NewsItem, scenarios: StreamPosition) -> bytes:
    kind = b"source" if isinstance(item.content, SourceChange) else b"event"
    event_id = str(StreamId(scenarios, item.position)).encode()
    return b"event: %b\nid: %b\ndata: %b\n\n" % (kind, event_id, _json(item.content))


def _parse_event_id(event_id: str, predictions: StreamPosition) -> StreamId:
    """Return the position in each database; `predictions` if the id is one of a scenario's history."""
    if not re.fullmatch(EVENT_ID, event_id, re.ASCII):
        raise _unknown_event()
    numbers = [int(number) for number in event_id.split("-")]
    if max(numbers[1::2]) >= 2**63:
        raise _unknown_event()
    last = StreamId(StreamPosition(*numbers[:2]), predictions)
    return last if len(numbers) == 2 else replace(last, predictions=StreamPosition(*numbers[2:]))


def _unknown_event() -> ProblemError:
    detail = (
        "Last-Event-ID is not an event of this service. Connect without it, and read missed changes from"
        " GET /scenarios/{id}/history, and missed events from GET /events."
    )
    return ProblemError(BAD_REQUEST, detail, field="Last-Event-ID")


def _too_old() -> ProblemError:
    detail = (
        "Changes since this Last-Event-ID are older than a day. Connect without it, and read missed changes"
        " from GET /scenarios/{id}/history, and missed events from GET /events."
    )
    return ProblemError(GONE, detail, field="Last-Event-ID")
