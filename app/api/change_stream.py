"""The live feed: what changes in the scenarios, told to every open event stream.

Each stream reads its own rows after its own position, so that it can be resumed on any api process. What
they share is knowing when to look: one task listens for notifications (and looks by itself now and then,
since a change is readable only once every older transaction has ended), another reads progress each second.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from uuid import UUID

import msgspec
import structlog
from anyio import TASK_STATUS_IGNORED, CancelScope, Event, create_task_group, move_on_after, sleep
from anyio.abc import TaskStatus
from asyncpg import PostgresError
from msgspec import Struct

from ..postgres import TRANSIENT, Database
from ..scenarios.notifications import CHANNEL
from .http.problems import BAD_REQUEST, TOO_MANY_STREAMS, ProblemError
from .options import ApiOptions
from .queries.history import ScenarioChange, StreamPosition, read_changes, read_head, read_now
from .queries.progress import Progress, SourceState, find_checkpoints, progress_of, source_state_of
from .queries.scenarios import decode_media, find_running

log = structlog.get_logger(__name__)


_POLL = 1.0  # seconds; also how often progress is told
_PENDING = 0.05  # seconds until a change that waits for an older transaction is looked for again
_BATCH = 200
_FAULTS: tuple[type[Exception], ...] = (
    PostgresError,
    *TRANSIENT,
)  # of a database, whatever it is: it must not end the process


class ProgressEvent(Struct, frozen=True):
    """How far a scenario is that a runner holds."""

    scenario_id: UUID
    attempt: int
    source_state: SourceState | None
    progress: Progress


class ChangeStream:
    """Tells open streams about changes and progress; while there is none it leaves the databases alone."""

    def __init__(self, scenarios: Database, predictions: Database, options: ApiOptions) -> None:
        self._scenarios = scenarios
        self._predictions = predictions
        self._options = options
        self._streams = 0
        self._audience = Event()
        self._news = Event()  # replaced whenever it is set: a stream takes it before it looks
        self._head = StreamPosition(0, 0)
        self._ticks = 0
        self._progress = b""
        self._closed = False

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Serve the streams until cancelled; they end then, and when shutting down begins."""
        try:
            async with create_task_group() as tasks:
                tasks.start_soon(self._while_watched, self._follow_changes)
                tasks.start_soon(self._while_watched, self._follow_progress)
                task_status.started()
                await self._options.shutting_down.wait()
                tasks.cancel_scope.cancel()
        finally:
            self._closed = True
            self._tell()

    async def open(self, last_event_id: str | None) -> AsyncGenerator[bytes, None]:
        """A stream of everything after an event, or from now on.

        Raises ProblemError: 400 for an id that is none of this service's, 503 where too many are open.
        """
        position, unborn = await read_now(self._scenarios)
        if last_event_id is not None:
            position = _position(last_event_id)
            if position.xid > unborn:
                raise _no_such_event()
        if self._streams >= self._options.max_streams:
            detail = (
                f"At most {self._options.max_streams} streams may be open. Close one, or try again later."
            )
            raise ProblemError(TOO_MANY_STREAMS, detail, headers={"Retry-After": "5"})
        return self._stream(position)

    async def _stream(self, position: StreamPosition) -> AsyncGenerator[bytes, None]:
        self._streams += 1
        self._audience.set()
        try:
            # The id comes first, so that a client which loses the connection before any event misses nothing.
            yield f"retry: 2000\nid: {position}\n\n".encode()
            ticks = self._ticks
            look = True
            while not self._closed:
                news = self._news
                wait = self._options.keep_alive
                if look or self._head > position:
                    try:
                        changes, position = await read_changes(self._scenarios, position, _BATCH)
                    except _FAULTS as error:
                        log.warning("event stream cannot read changes", error=repr(error))
                        look, wait = True, _POLL
                    else:
                        if changes:
                            yield b"".join(map(_change_event, changes))
                        look = len(changes) == _BATCH
                        if look:
                            continue
                if self._ticks != ticks:
                    ticks = self._ticks
                    yield self._progress
                with move_on_after(wait) as silence:
                    await news.wait()
                if silence.cancelled_caught:
                    yield b": still here\n\n"
        finally:
            self._streams -= 1
            if not self._streams:
                self._audience = Event()

    def _tell(self) -> None:
        news, self._news = self._news, Event()
        news.set()

    async def _while_watched(self, follow: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._audience.wait()
            try:
                await follow()
            except _FAULTS as error:
                log.warning("the event feed lost a database; it tries again", error=repr(error))
                await sleep(_POLL)

    async def _follow_changes(self) -> None:
        notified = Event()

        def note(*_: object) -> None:
            notified.set()

        async with self._scenarios.connection() as connection:
            await connection.add_listener(CHANNEL, note)
            try:
                while self._streams:
                    notified = Event()
                    head = await read_head(connection)
                    if head.position > self._head:
                        self._head = head.position
                        self._tell()
                    with move_on_after(_PENDING if head.pending else _POLL):
                        await notified.wait()
            finally:
                with CancelScope(shield=True), move_on_after(1):
                    await connection.remove_listener(CHANNEL, note)

    async def _follow_progress(self) -> None:
        while self._streams:
            running = await find_running(self._scenarios)
            checkpoints = await find_checkpoints(self._predictions, [row["id"] for row in running])
            if running:
                ticks = [
                    ProgressEvent(
                        scenario_id=row["id"],
                        attempt=row["attempt"],
                        source_state=source_state_of(row, checkpoints[row["id"]]),
                        progress=progress_of(row, decode_media(row["media"]), checkpoints[row["id"]]),
                    )
                    for row in running
                ]
                self._progress = b"".join(b"event: progress\ndata: %b\n\n" % _json(tick) for tick in ticks)
                self._ticks += 1
                self._tell()
            await sleep(_POLL)


_json = msgspec.json.Encoder().encode


def _change_event(change: ScenarioChange) -> bytes:
    return b"event: scenario\nid: %b\ndata: %b\n\n" % (change.id.encode(), _json(change))


def _position(event_id: str) -> StreamPosition:
    if not (numbers := re.fullmatch(r"(\d{1,20})-(\d{1,19})", event_id, re.ASCII)):
        raise _no_such_event()
    position = StreamPosition(int(numbers[1]), int(numbers[2]))
    if position.id >= 2**63:
        raise _no_such_event()
    return position


def _no_such_event() -> ProblemError:
    detail = (
        "Last-Event-ID is no event of this service. Connect without it, and read what was missed from GET."
    )
    return ProblemError(BAD_REQUEST, detail, field="Last-Event-ID")
