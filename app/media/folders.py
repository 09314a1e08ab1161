"""List a folder below the media root, with the rules that sources have for paths."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from errno import ELOOP, ENAMETOOLONG
from heapq import nsmallest
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Literal

from msgspec import Struct

from ..domain.source import SourceError, parse_source

_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_QUOTED = 200  # characters of a path in an error


class FolderError(Exception):
    """The folder cannot be used. The message says why and what to do."""


class MissingFolderError(FolderError):
    """There is no such folder, or no media root."""


class UnreadableFolderError(FolderError):
    """The disk or its permissions do not let this process read the folder."""


class MediaEntry(Struct, frozen=True):
    """A folder, or a file that may be a recording.

    `path` is what a source calls it, `size` the bytes of a file. `modified` is None if no calendar has the
    date.
    """

    name: str
    kind: Literal["folder", "file"]
    path: str
    size: int | None
    modified: datetime | None


class EntryPosition(Struct, frozen=True, array_like=True, order=True):
    """The place of an entry in the list: folders come first, then everything else, each by name."""

    is_file: bool
    name: bytes


class FolderPart(Struct, frozen=True):
    """Entries in their order, how many names between them are left out, and where the list goes on."""

    entries: list[MediaEntry]
    left_out: int
    more: EntryPosition | None


def folder_address(text: str) -> str:
    """Return the normal form of a folder's path, empty for the media root. Raises SourceError."""
    if text.startswith("/"):
        raise SourceError("the path is absolute: give it relative to the media root")
    return "" if text in ("", ".", "./") else parse_source(f"./{text}").address


@contextmanager
def opened_folder(media_root: Path, address: str) -> Iterator[tuple[int, Path]]:
    """Open a folder below the media root; yield its descriptor and its path, in which links are resolved.

    The descriptor is of a folder below the root, whatever is exchanged in the path while it is opened.
    Blocks.

    Raises:
        MissingFolderError: there is no such folder, or no media root.
        UnreadableFolderError: it cannot be read.
        FolderError: it lies outside the media root, or is no folder.
    """
    try:
        root = media_root.resolve(strict=True)
        descriptor = os.open(root, _OPEN_FOLDER)
    except OSError:
        raise MissingFolderError("the media root does not exist: create it, or set VA_MEDIA_ROOT") from None
    name = repr(address if len(address) <= _MOST_QUOTED else f"{address[:_MOST_QUOTED]}…")
    try:
        try:
            path = (root / address).resolve(strict=True)
            if not path.is_relative_to(root):
                raise FolderError(f"{name} leads outside the media root")
            for part in path.relative_to(root).parts:
                inner = os.open(part, _OPEN_FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
        except FileNotFoundError:
            raise MissingFolderError(f"there is no folder {name} under the media root") from None
        except NotADirectoryError:
            raise FolderError(f"{name} is not a folder") from None
        except RuntimeError:  # before Python 3.13
            raise FolderError(f"{name} is a loop of links") from None
        except OSError as error:
            kind = FolderError if error.errno in (ELOOP, ENAMETOOLONG) else UnreadableFolderError
            raise kind(f"the folder {name} cannot be opened: {_reason(error)}") from None
        yield descriptor, path
    finally:
        os.close(descriptor)


def list_folder(media_root: Path, address: str, after: EntryPosition | None, limit: int) -> FolderPart:
    """Return what the next `limit` names of a folder are. Blocks.

    Hidden names are not counted. Left out are names that no source can have (not UTF-8, control characters,
    backslashes), links that lead outside the media root or nowhere, and what is neither folder nor file.

    Raises:
        MissingFolderError: there is no such folder, or no media root.
        UnreadableFolderError: it cannot be read.
        FolderError: it lies outside the media root, or is no folder.
    """
    with opened_folder(media_root, address) as (descriptor, path):
        root = media_root.resolve()
        try:
            found = nsmallest(limit + 1, _positions(descriptor, after))
        except OSError as error:
            raise UnreadableFolderError(f"the folder cannot be read: {_reason(error)}") from None
        entries, left_out = list[MediaEntry](), 0
        for position in found[:limit]:
            with suppress(FileNotFoundError):  # removed since
                entry = _entry(descriptor, position.name, path, root, address)
                if entry is None:
                    left_out += 1
                else:
                    entries.append(entry)
    return FolderPart(entries, left_out, found[limit - 1] if len(found) > limit else None)


def _positions(descriptor: int, after: EntryPosition | None) -> Iterator[EntryPosition]:
    with os.scandir(descriptor) as names:
        for each in names:
            if each.name.startswith("."):
                continue
            position = EntryPosition(not each.is_dir(follow_symlinks=False), os.fsencode(each.name))
            if after is None or position > after:
                yield position


def _entry(descriptor: int, raw: bytes, folder: Path, root: Path, address: str) -> MediaEntry | None:
    """Return an entry, or None if no source can be it. Raises FileNotFoundError if it was removed."""
    try:
        name = raw.decode()
        path = _source_of(f"{address}/{name}" if address else name)
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        if S_ISLNK(status.st_mode):
            target = (folder / name).resolve()
            if not target.is_relative_to(root):
                return None
            status = target.stat()
    except FileNotFoundError:
        if os.path.lexists(folder / os.fsdecode(raw)):  # a link that leads nowhere
            return None
        raise
    except (UnicodeDecodeError, SourceError, OSError, RuntimeError):
        return None
    if S_ISDIR(status.st_mode):
        return MediaEntry(name, "folder", path, None, _date(status.st_mtime))
    if S_ISREG(status.st_mode):
        return MediaEntry(name, "file", path, status.st_size, _date(status.st_mtime))
    return None


def _source_of(path: str) -> str:
    """Return how a source names this path. Raises SourceError if it cannot."""
    with suppress(SourceError):
        source = parse_source(path)
        if (source.kind, source.address) == ("file", path):
            return path
    return f"./{parse_source(f'./{path}').address}"


def _reason(error: OSError) -> str:
    return (error.strerror or "an error of the disk").lower()


def _date(seconds: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
