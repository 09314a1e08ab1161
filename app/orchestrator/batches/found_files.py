"""Bring the files that a scan found into the table of a batch, and tell which have stopped growing."""

from collections.abc import Sequence
from uuid import UUID

from asyncpg import Record

from ...domain.batch import BatchState
from ...media.scanning import FoundFile, Scan
from ...postgres import Connection, Database
from .commands import lock_batch

_CHUNK = 1000  # files that one transaction brings in, at most

EMPTY_PATIENCE = 60.0
"""Seconds for which an empty file is waited for: recorders make it before the first picture."""


class KnownFiles:
    """Size and time of the files of a batch that need no statement if they are seen so again."""

    def __init__(self, *, watch: bool) -> None:
        self.watch = watch
        self.settled: dict[str, tuple[int, int]] = {}

    def keep(self, files: Sequence[FoundFile]) -> list[FoundFile]:
        """Forget what is not among these files, and return those of them that are not known so."""
        settled = self.settled
        seen = {each.path: (each.size, each.modified) for each in files}
        self.settled = {path: seen[path] for path in settled if seen.get(path) == settled[path]}
        return [each for each in files if each.path not in self.settled]

    def forget(self, path: str) -> None:
        """Have a file looked up again."""
        self.settled.pop(path, None)


async def bring_in(database: Database, batch_id: UUID, found: Scan, known: KnownFiles, settle: float) -> bool:
    """Store what a scan found. Returns whether files of the batch may still be growing.

    A file is ready once it has been the same for `settle` seconds.
    """
    changed = known.keep(found.files)
    for start in range(0, len(changed), _CHUNK):
        chunk = changed[start : start + _CHUNK]
        async with database.transaction() as connection:
            batch = await _lock_running(connection, batch_id)
            if batch is None:
                return False
            growing = await _store(connection, batch, chunk, settle)
        known.settled |= {each.path: (each.size, each.modified) for each in chunk if each.path not in growing}
    async with database.transaction() as connection:
        if await _lock_running(connection, batch_id) is None:
            return False
        return await _note_scan(connection, batch_id, found)


async def _lock_running(connection: Connection, batch_id: UUID) -> Record | None:
    batch = await lock_batch(connection, batch_id)
    return batch if batch is not None and batch["state"] == BatchState.RUNNING else None


async def _store(
    connection: Connection, batch: Record, files: Sequence[FoundFile], settle: float
) -> set[str]:
    """Store files that were seen. Returns the paths of those that may be growing."""
    seen = (
        [each.path for each in files],
        [each.size for each in files],
        [each.modified for each in files],
        [each.refused for each in files],
    )
    if batch["watch"]:  # another file has the name of one that was taken
        await connection.execute(_REPLACE, batch["id"], *seen)
    await connection.execute(_ADD, batch["id"], *seen, batch["watch"] or batch["listed_at"] is None)
    await connection.execute(_SETTLE, batch["id"], *seen, settle, EMPTY_PATIENCE)
    rows = await connection.fetch(
        "SELECT path FROM batch_files WHERE batch_id = $1 AND state = 'growing' AND path = ANY($2)",
        batch["id"],
        seen[0],
    )
    return {row["path"] for row in rows}


async def _note_scan(connection: Connection, batch_id: UUID, found: Scan) -> bool:
    """Note when a batch was scanned, and which growing files are gone. Returns whether some are growing."""
    growing = await connection.fetch(
        "SELECT number, path FROM batch_files WHERE batch_id = $1 AND state = 'growing'", batch_id
    )
    seen = {each.path for each in found.files}
    gone = [row["number"] for row in growing if row["path"] not in seen]
    if found.files and found.problem is None:  # else they may be in a folder that is away for a while
        await connection.execute("UPDATE batch_files SET state = 'gone' WHERE number = ANY($1)", gone)
    await connection.execute(
        """
        UPDATE batches SET scanned_at = clock_timestamp(), problem = $2,
                           listed_at = CASE WHEN $3 THEN coalesce(listed_at, now()) ELSE listed_at END
         WHERE id = $1
        """,
        batch_id,
        found.problem if found.files or found.problem else NOTHING_FOUND,
        bool(found.files),
    )
    return len(gone) < len(growing)


NOTHING_FOUND = (
    "No file matches `sources` in the media folder of the leading orchestrator. Check the pattern, and that"
    " VA_MEDIA_ROOT of each orchestrator names the folder that the runners read. It is looked at again every"
    " few seconds."
)

_SEEN = """
  FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[]) AS s (path, size, modified, refused)
 WHERE f.batch_id = $1 AND f.is_latest AND md5(f.path) = md5(s.path) AND f.path = s.path
"""

_REPLACE = f"""
UPDATE batch_files AS f SET is_latest = false {_SEEN}
   AND f.state = 'taken' AND (f.size, f.modified) <> (s.size, s.modified)
"""  # noqa: S608

_SETTLE = f"""
UPDATE batch_files AS f SET state = 'ready' {_SEEN}
   AND f.state = 'growing' AND (f.size, f.modified) = (s.size, s.modified)
   AND f.changed_at <= clock_timestamp()
       - make_interval(secs => CASE WHEN f.size = 0 THEN greatest($6::float8, $7::float8) ELSE $6 END)
"""  # noqa: S608

_ADD = """
INSERT INTO batch_files AS f (batch_id, path, size, modified, state, note)
SELECT $1, path, size, modified, CASE WHEN refused IS NULL THEN 'growing' ELSE 'refused' END, refused
  FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[])
       WITH ORDINALITY AS s (path, size, modified, refused, n)
 WHERE $6 OR EXISTS (SELECT FROM batch_files AS f
                      WHERE f.batch_id = $1 AND f.is_latest AND md5(f.path) = md5(s.path))
 ORDER BY n
ON CONFLICT (batch_id, md5(path)) WHERE is_latest DO UPDATE
   SET size = excluded.size, modified = excluded.modified, state = 'growing', changed_at = clock_timestamp()
 WHERE f.scenario_id IS NULL AND (f.state = 'gone'
       OR (f.state IN ('growing', 'ready') AND (f.size, f.modified) <> (excluded.size, excluded.modified)))
"""
