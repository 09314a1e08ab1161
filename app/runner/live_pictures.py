"""Live pictures: the newest sampled frame of each watched scenario, stored for apis to show."""

import time
from collections.abc import Sequence
from threading import Lock
from uuid import UUID

import structlog
from anyio import sleep
from msgspec import Struct

from ..domain.picture import Picture
from ..postgres import TRANSIENT, Connection, Database
from ..predictions.checkpoint import Fence
from .analysing.evidence import to_jpeg

log = structlog.get_logger(__name__)

MAX_SIDE = 640
"""Pixels of the longer side of a live picture."""

PERIOD = 0.5
"""Seconds between the live pictures of a scenario, and between two looks for what is watched."""

_STEP = 0.1  # seconds within which a picture that was taken is stored
_FORGET_EVERY = 60.0  # seconds


class LivePicture(Struct, frozen=True):
    """A frame as a JPEG. `time` is Unix time in seconds, `width` and `height` are those of the frame."""

    fence: Fence
    frame: int
    time: float
    width: int
    height: int
    jpeg: bytes


class LiveTaker:
    """Takes the live pictures of one run, in workers' threads."""

    def __init__(self, fence: Fence) -> None:
        self.fence = fence
        self.is_watched = False
        self.is_closed = False
        self._lock = Lock()
        self._due = 0.0  # of time.monotonic()
        self._newest = -1
        self._taken: LivePicture | None = None

    def offer(self, frame: int, seconds: float, picture: Picture) -> None:
        """Take a frame if the scenario is watched, the last one was PERIOD ago, and it is newer."""
        if not self.is_watched:
            return
        with self._lock:
            now = time.monotonic()
            if now < self._due or frame <= self._newest:
                return
            self._due, self._newest = now + PERIOD - _STEP / 2, frame
        try:
            jpeg = to_jpeg(picture, MAX_SIDE)
        except Exception as fault:  # whatever the picture is, it costs the live picture alone
            log.warning("a live picture cannot be encoded", frame=frame, error=repr(fault))
            return
        with self._lock:
            if frame == self._newest:
                self._taken = LivePicture(self.fence, frame, seconds, picture.width, picture.height, jpeg)

    def take(self) -> LivePicture | None:
        """Return the picture that was taken since the last call."""
        with self._lock:
            taken, self._taken = self._taken, None
            return taken

    def close(self) -> None:
        """Take no more pictures. Any thread may call it."""
        self.is_closed = True
        self.is_watched = False


class LiveTakers:
    """The takers of a runner's runs."""

    def __init__(self) -> None:
        self._open: list[LiveTaker] = []

    def open(self, fence: Fence) -> LiveTaker:
        """Return the taker of a run, which must be closed when the run ends."""
        taker = LiveTaker(fence)
        self._open.append(taker)
        return taker

    def current(self) -> list[LiveTaker]:
        """Return the takers that are not closed."""
        self._open = [taker for taker in self._open if not taker.is_closed]
        return self._open


async def publish_live_pictures(database: Database, takers: LiveTakers) -> None:
    """Until cancelled, store the newest picture of each watched scenario."""
    looked = forgot = 0.0
    while True:
        current = takers.current()
        try:
            now = time.monotonic()
            if current and now - looked >= PERIOD:
                looked = now
                async with database.connection() as connection:
                    watched = await find_watched(connection, [taker.fence.scenario_id for taker in current])
                for taker in current:
                    taker.is_watched = not taker.is_closed and taker.fence.scenario_id in watched
            pictures = [picture for taker in current if (picture := taker.take()) is not None]
            if pictures:
                async with database.connection() as connection:
                    for picture in pictures:
                        await store_live_picture(connection, picture)
            if now - forgot >= _FORGET_EVERY:
                forgot = now
                async with database.connection() as connection:
                    await forget_old_pictures(connection)
        except TRANSIENT as error:
            log.warning("cannot store live pictures yet", error=repr(error))
        await sleep(_STEP if any(taker.is_watched for taker in current) else PERIOD)


async def find_watched(connection: Connection, scenario_ids: Sequence[UUID]) -> set[UUID]:
    """Return which of these scenarios somebody looks at."""
    rows = await connection.fetch(
        "SELECT scenario_id FROM watched WHERE scenario_id = ANY($1) AND until > clock_timestamp()",
        scenario_ids,
    )
    return {row["scenario_id"] for row in rows}


async def store_live_picture(connection: Connection, picture: LivePicture) -> None:
    """Replace a scenario's live picture; nothing if its run has no fence any more, or it was deleted."""
    fence = picture.fence
    await connection.execute(
        """
        INSERT INTO live_pictures (scenario_id, attempt, run_token, frame, time, width, height, picture)
        SELECT scenario_id, attempt, run_token, $4, $5, $6, $7, $8
          FROM checkpoints
         WHERE scenario_id = $1 AND attempt = $2 AND run_token = $3 AND NOT dropped
        ON CONFLICT (scenario_id) DO UPDATE
           SET attempt = excluded.attempt, run_token = excluded.run_token, frame = excluded.frame,
               time = excluded.time, at = excluded.at, width = excluded.width, height = excluded.height,
               picture = excluded.picture
        """,
        fence.scenario_id,
        fence.attempt,
        fence.run_token,
        picture.frame,
        picture.time,
        picture.width,
        picture.height,
        picture.jpeg,
    )


async def forget_old_pictures(connection: Connection) -> None:
    """Remove the pictures of scenarios that nobody looks at any more, or that do not run."""
    await connection.execute(
        """
        WITH unwatched AS (DELETE FROM watched WHERE until < clock_timestamp() - interval '1 minute')
        DELETE FROM live_pictures WHERE at < clock_timestamp() - interval '1 minute'
        """
    )
