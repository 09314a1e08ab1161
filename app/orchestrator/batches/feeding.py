"""Make scenarios of a batch's files, no more at once than it may have."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
from anyio import to_thread
from asyncpg import Record
from msgspec import Raw, Struct

from ...domain.batch import BatchSpec, BatchState, decode_batch
from ...domain.pins import FileIdentity
from ...domain.source import Source, SourceError
from ...domain.states import State
from ...media.recording_times import RecordingTimeError, RecordingTimes
from ...media.scanning import source_of, storable
from ...messages import StartScenario
from ...postgres import Connection, Database
from ...video.files import find_file
from ...video.identity import identify
from .. import store
from ..decisions import apply_each
from ..lifecycle import Decision, create
from .commands import lock_batch
from .found_files import KnownFiles

_AT_ONCE = 50  # scenarios that one transaction makes, at most

UNKNOWN_DATE = "Its name does not match `recorded_at`, so its events have no date."


class ReadyFile(Struct, frozen=True):
    """A file that may become a scenario. `identity`: None: it is not there, or is another one.

    `problem`: why it cannot be read, if it is there.
    """

    number: int
    path: str
    identity: FileIdentity | None
    problem: str | None = None


def scenario_id_of(batch_id: UUID, path: str, identity: FileIdentity) -> UUID:
    """Return the id of the scenario that analyses a file: always the same one."""
    return uuid5(batch_id, f"{path}\n{identity.size}\n{identity.digest}")


async def feed(
    database: Database, batch_id: UUID, room: int, media_root: Path, known: KnownFiles | None
) -> int:
    """Make or start scenarios of a batch that had room for so many, and return how many were made or started.

    Those of one call share a transaction, so they are at most 50.
    """
    async with database.connection() as connection:
        rows = await _ready(connection, batch_id, min(_AT_ONCE, room))
    if not rows:
        return 0
    new = [row for row in rows if row["scenario_id"] is None]
    files = await to_thread.run_sync(_identify, media_root, new, abandon_on_cancel=True)
    async with database.transaction() as connection:
        batch = await lock_batch(connection, batch_id)
        if batch is None or batch["state"] != BatchState.RUNNING:
            return 0
        room = min(_AT_ONCE, max(0, await _room(connection, batch_id)))  # less if `at_once` was lowered
        ended = [row["scenario_id"] for row in rows if row["scenario_id"] is not None]
        made = await _start_again(connection, ended[:room]) if ended else 0
        there = [each for each in files if each.identity is not None]
        made += await _make(connection, batch, there[: room - made])
        away = [each for each in files if each.identity is None]
        if away:
            await _put_back(connection, away)
    for each in away:
        if known is not None:
            known.forget(each.path)
    return made


async def settle_state(connection: Connection, batch_id: UUID) -> None:
    """Note that a batch is done, if nothing of it is left to do."""
    await connection.execute(
        """
        UPDATE batches AS b SET state = 'done', updated_at = now()
         WHERE id = $1 AND state = 'running' AND NOT watch AND listed_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM batch_files
                            WHERE batch_id = b.id AND state IN ('growing', 'ready'))
           AND NOT EXISTS (SELECT FROM scenarios
                            WHERE batch_id = b.id AND deleted_at IS NULL AND state <> 'inactive')
        """,
        batch_id,
    )


async def _room(connection: Connection, batch_id: UUID) -> int:
    """Return how many scenarios a batch may have more at the moment."""
    room: int | None = await connection.fetchval(
        """
        SELECT at_once - (SELECT count(*) FROM scenarios
                           WHERE batch_id = b.id AND deleted_at IS NULL AND state <> 'inactive')
          FROM batches AS b WHERE id = $1 AND state = 'running'
        """,
        batch_id,
    )
    return room or 0


async def _ready(connection: Connection, batch_id: UUID, limit: int) -> list[Record]:
    """Return files that may be taken; those that could not be read before come last."""
    return await connection.fetch(
        """
        (SELECT number, path, size, modified, scenario_id FROM batch_files
          WHERE batch_id = $1 AND state = 'ready' AND note IS NULL ORDER BY number LIMIT $2)
        UNION ALL
        (SELECT number, path, size, modified, scenario_id FROM batch_files
          WHERE batch_id = $1 AND state = 'ready' AND note IS NOT NULL ORDER BY changed_at, number LIMIT $2)
        LIMIT $2
        """,
        batch_id,
        limit,
    )


async def _put_back(connection: Connection, away: Sequence[ReadyFile]) -> None:
    """Have files looked at again that are not there, are other ones, or cannot be read."""
    await connection.execute(
        "UPDATE batch_files AS f SET state = 'growing', changed_at = clock_timestamp(), note = away.note"
        "  FROM unnest($1::bigint[], $2::text[]) AS away (number, note)"
        " WHERE f.number = away.number AND state = 'ready'",
        [each.number for each in away],
        [each.problem for each in away],
    )


def _identify(media_root: Path, rows: Sequence[Record]) -> list[ReadyFile]:
    """Return the files, identified, if they are still those that were seen. Reads at most 256 KiB of each."""
    found: list[ReadyFile] = []
    for row in rows:
        identity = problem = None
        try:
            path = find_file(Source("file", row["path"], live=False, redacted=row["path"]), media_root)
            identity = identify(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            problem = f"It cannot be read ({(error.strerror or 'unknown').lower()}). It is tried again."
        except SourceError:
            pass
        seen = (row["size"], row["modified"])
        if identity is not None and (identity.size, storable(identity.modified or 0)) != seen:
            identity = None
        found.append(ReadyFile(row["number"], row["path"], identity, problem))
    return found


async def _make(connection: Connection, batch: Record, files: Sequence[ReadyFile]) -> int:
    """Make scenarios of files, and return how many files were taken.

    A file that has its scenario already, because it was only touched, gets no other.
    """
    rows = await connection.fetch(
        "SELECT number FROM batch_files WHERE number = ANY ($1) AND state = 'ready'"
        " ORDER BY number FOR UPDATE",
        [each.number for each in files],
    )
    ready = {row["number"] for row in rows}
    taken = [each for each in files if each.number in ready]
    if not taken:
        return 0
    spec = decode_batch(batch["spec"])
    ids: list[UUID] = []
    notes: list[str | None] = []
    created: list[tuple[Decision, None]] = []
    for each in taken:
        assert each.identity is not None  # noqa: S101 - the caller has left out the others
        recorded_at, note = _date(spec, each.path)
        ids.append(scenario_id_of(batch["id"], each.path, each.identity))
        notes.append(note)
        new = _spec_of(spec, each.path, each.identity, recorded_at)
        created.append((create(ids[-1], new, batch["needs"]), None))
    await store.insert(connection, created, batch["id"], _tags(spec))
    await connection.execute("DELETE FROM batch_files WHERE scenario_id = ANY ($1)", ids)
    await connection.execute(
        "UPDATE batch_files AS f SET state = 'taken', scenario_id = taken.id, note = taken.note"
        "  FROM unnest($1::bigint[], $2::uuid[], $3::text[]) AS taken (number, id, note)"
        " WHERE f.number = taken.number",
        [each.number for each in taken],
        ids,
        notes,
    )
    return len(taken)


def _spec_of(spec: BatchSpec, path: str, identity: FileIdentity, recorded_at: datetime | None) -> Raw:
    """Return the specification of the scenario that analyses a file, as JSON."""
    fields: dict[str, Any] = {"source": source_of(path), **msgspec.json.decode(spec.scenario)}
    fields.pop("tags", None)
    fields["file"] = {"size": identity.size, "digest": identity.digest}
    if recorded_at is not None:
        fields["recorded_at"] = recorded_at
    return Raw(msgspec.json.encode(fields))


def _tags(spec: BatchSpec) -> list[str]:
    tags: list[str] = msgspec.json.decode(spec.scenario).get("tags") or []
    return tags


def _date(spec: BatchSpec, path: str) -> tuple[datetime | None, str | None]:
    """Return when a file was recorded, if that is asked and known, and a warning."""
    if spec.recorded_at is None:
        return None, None
    try:
        found = RecordingTimes(spec.recorded_at, spec.timezone).find(path)
    except RecordingTimeError as error:  # this machine knows fewer time zones than the api's
        return None, str(error)
    return found, None if found else UNKNOWN_DATE


async def _start_again(connection: Connection, scenario_ids: Sequence[UUID]) -> int:
    """Start scenarios that were stopped or have failed, and return how many."""
    locked = await store.lock_available(connection, scenario_ids)
    inactive = [each for each in locked if each.state is State.INACTIVE and not each.is_deleted]
    await apply_each(connection, [(each, StartScenario(uuid4(), each.id)) for each in inactive])
    await connection.execute(
        "UPDATE batch_files SET state = 'taken' WHERE scenario_id = ANY($1)", [each.id for each in locked]
    )
    return len(inactive)
