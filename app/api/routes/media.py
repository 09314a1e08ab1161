"""See what is in the media folder."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Literal

from anyio import CapacityLimiter, move_on_after, to_thread
from litestar import get
from msgspec import Meta, Struct

from ...domain.source import SourceError
from ...domain.states import State
from ...media.folders import (
    EntryPosition,
    FolderError,
    FolderPart,
    MissingFolderError,
    UnreadableFolderError,
    folder_address,
    list_folder,
)
from .. import examples
from ..http.cursors import make_cursor, read_cursor
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_CURSOR, BAD_REQUEST, NOT_FOUND, ProblemError, unavailable
from ..http.requests import ApiRequest
from ..queries.media import MAX_USES, ScenarioUse, find_uses
from ..recorded_pictures import NO_MEDIA

_PATIENCE = 10.0
"""Seconds that a folder has to answer: one over the network may be away."""


class MediaQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /media."""

    folder: Annotated[
        str, Meta(max_length=4096, description="path below the media folder; left out: the media folder")
    ] = ""
    limit: Annotated[int, Meta(ge=1, le=1000, description="the largest number of items in a page")] = 100
    cursor: Annotated[str | None, Meta(description="`next_cursor` of the previous page")] = None


class MediaItem(Struct, frozen=True):
    """A folder, or a file that may be a recording."""

    name: str
    kind: Literal["folder", "file"]
    path: Annotated[
        str, Meta(description="of a file: `source` of a scenario; of a folder: `folder` of this list")
    ]
    size: Annotated[int | None, Meta(description="bytes of a file")]
    modified: Annotated[datetime | None, Meta(description="null if the file has a date of no calendar")]
    scenarios: Annotated[
        list[ScenarioUse],
        Meta(description=f"the newest scenarios with this file as their source, at most {MAX_USES}"),
    ]
    has_more_scenarios: bool


class MediaPage(Struct, frozen=True):
    """Folders by name, then files by name. `next_cursor` is null on the last page."""

    items: list[MediaItem]
    left_out: Annotated[
        int,
        Meta(
            description="names of this page that no source can have, such as those that are not UTF-8 or have"
            " control characters, links that lead outside the media folder, and devices"
        ),
    ]
    max_upload_bytes: Annotated[
        int | None, Meta(description="that an uploaded file may have; null: this process takes no uploads")
    ]
    next_cursor: str | None


_EXAMPLE = MediaPage(
    [
        MediaItem("yard", "folder", "yard", None, datetime(2026, 1, 30, 8, tzinfo=UTC), [], False),
        MediaItem(
            "clip.mp4",
            "file",
            "clip.mp4",
            48_211_034,
            datetime(2026, 1, 31, 9, 30, tzinfo=UTC),
            [ScenarioUse(examples.SCENARIO.id, "front door", State.ACTIVE, None)],
            False,
        ),
    ],
    0,
    10_000_000_000,
    None,
)


@get(
    "/media",
    doc=OperationDoc(
        id="listMedia",
        tag="media",
        summary="List a folder of recordings",
        description=(
            "The folders and files of one folder below `VA_MEDIA_ROOT` of this api process, and which"
            " scenarios use each file. Hidden names (with a dot at their beginning) are not shown. A page may"
            " have fewer items than `limit` although `next_cursor` is set."
        ),
        query=MediaQuery,
        responses={200: ResponseDoc("A page of the folder.", MediaPage, _EXAMPLE)},
        problems={
            BAD_CURSOR: "Send `cursor` exactly as `next_cursor` returned it, with the same folder.",
            BAD_REQUEST: "`folder` cannot be listed: the path contains '..'.",
            NOT_FOUND: f"There is no folder 'yard' under the media root. {NO_MEDIA}",
        },
        for_admins=True,
    ),
)
async def list_media(request: ApiRequest) -> MediaPage:
    """Return a page of a folder. Raises ProblemError (400, 404, 503)."""
    query = request.parameters(MediaQuery)
    try:
        folder = folder_address(query.folder)
    except SourceError as error:
        raise _wrong_folder(error) from error
    bound = ("media", folder)
    after = None if query.cursor is None else read_cursor(query.cursor, bound, EntryPosition)
    part = await _list(request, folder, after, query.limit)
    files = [entry.path for entry in part.entries if entry.kind == "file"]
    uses = await find_uses(request.deps.scenarios, files)
    items = [
        MediaItem(
            entry.name,
            entry.kind,
            entry.path,
            entry.size,
            entry.modified,
            uses[entry.path].scenarios if entry.path in uses else [],
            entry.path in uses and uses[entry.path].has_more,
        )
        for entry in part.entries
    ]
    limits = request.options.uploads
    return MediaPage(
        items,
        part.left_out,
        None if limits is None else int(limits.max_size),
        None if part.more is None else make_cursor(part.more, bound),
    )


async def _list(request: ApiRequest, folder: str, after: EntryPosition | None, limit: int) -> FolderPart:
    limiter: CapacityLimiter = request.app.state.folder_limiter
    work = partial(list_folder, request.options.media_root, folder, after, limit)
    try:
        with move_on_after(_PATIENCE):
            return await to_thread.run_sync(work, limiter=limiter, abandon_on_cancel=True)
    except MissingFolderError as error:
        text = str(error)
        raise ProblemError(NOT_FOUND, f"{text[:1].upper()}{text[1:]}. {NO_MEDIA}", field="folder") from error
    except UnreadableFolderError as error:
        text = str(error)
        raise unavailable(
            f"{text[:1].upper()}{text[1:]}. Let the api process read it, and repeat it."
        ) from error
    except FolderError as error:
        raise _wrong_folder(error) from error
    raise unavailable("The media folder does not answer. Repeat the request in a moment.")


def _wrong_folder(error: Exception) -> ProblemError:
    return ProblemError(BAD_REQUEST, f"`folder` cannot be listed: {error}.", field="folder")
