"""Write what was found into files, in the formats of GET /scenarios/{id}/export."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile

from anyio import CapacityLimiter, to_thread
from msgspec import Struct
from msgspec.structs import replace

from ...api.exports.exported import ExportedVideo
from ...api.exports.formats import Format, FormatError, event_writer, prediction_writer
from ...api.exports.streams import export_events, export_predictions
from ...api.exports.videos import KnownVideos, read_video
from ...api.options import ApiDeps
from ...api.queries.events import EventFilter
from ...api.queries.predictions import MAX_FRAME, PredictionFilter
from ...api.queries.scenarios import find_row
from ...client.whole_file import is_stream, written_whole
from ...postgres import TRANSIENT
from ..file_formats import FORMATS
from ..output import CommandError
from .work import AnalysedFile

_FAULTS: tuple[type[Exception], ...] = (OSError, *TRANSIENT)
_EVERYTHING = PredictionFilter(to_frame=MAX_FRAME)


class WantedExport(Struct, frozen=True):
    """A file to write."""

    path: Path
    format: Format
    of_events: bool
    has_bom: bool

    def check(self) -> None:
        """Raise CommandError if the file cannot be written."""
        path, folder = self.path, self.path.parent
        if path.is_dir() or not folder.is_dir():
            fault = "is a folder" if path.is_dir() else f"is in a folder that does not exist: create {folder}"
            raise CommandError(f"The export {str(path)!r} {fault}.", exit_code=2)
        try:
            if not is_stream(path):
                with NamedTemporaryFile(dir=path.resolve().parent, prefix=".", suffix=".part"):
                    pass
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            reason = str(getattr(error, "strerror", None) or error).lower()
            raise CommandError(
                f"The export {str(path)!r} cannot be written: {reason}. Choose another folder.", exit_code=2
            ) from error
        make = event_writer if self.of_events else prediction_writer
        try:
            make(self.format)
        except FormatError as error:
            raise CommandError(str(error), exit_code=2) from error


def wanted_export(name: str, *, of_events: bool, has_bom: bool) -> WantedExport:
    """Return the export to a file, by the ending of its name. Raises CommandError if there is none."""
    if name.endswith("/"):
        raise CommandError(f"The export {name!r} names a folder: leave out the '/' at its end.", exit_code=2)
    path = Path(name)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise CommandError(
            f"The ending of {str(path)!r} names no format: use one of {', '.join(FORMATS)}.", exit_code=2
        )
    wanted = WantedExport(path, form, of_events, has_bom and form == "csv")
    wanted.check()
    return wanted


async def write_export(deps: ApiDeps, wanted: WantedExport, files: Sequence[AnalysedFile]) -> None:
    """Write the file, which appears under its name only when it is complete.

    It has what is stored of all files, also of those that failed. Raises CommandError.
    """
    try:
        videos = await _videos(deps, files)
        with written_whole(wanted.path) as file:
            async for part in _parts(deps, wanted, videos):
                await to_thread.run_sync(file.write, part)
    except _FAULTS as error:
        reason = str(getattr(error, "strerror", None) or error).lower()
        raise CommandError(
            f"The export {str(wanted.path)!r} cannot be written: {reason}. The same command writes it"
            " without analysing anything again."
        ) from error


async def _videos(deps: ApiDeps, files: Sequence[AnalysedFile]) -> KnownVideos:
    """Return what is exported, under the names that the user gave to the files."""
    videos: list[ExportedVideo] = []
    for file in files:
        row = None if file.scenario is None else await find_row(deps.scenarios, file.scenario.id)
        if row is not None:
            video = await read_video(deps, row)
            shown = file.recording.shown
            videos.append(replace(video, number=len(videos) + 1, name=shown, source=shown))
    return KnownVideos(videos)


def _parts(deps: ApiDeps, wanted: WantedExport, videos: KnownVideos) -> AsyncIterator[bytes]:
    predictions, limiter = deps.predictions, CapacityLimiter(1)
    if wanted.of_events:
        events = event_writer(wanted.format, has_bom=wanted.has_bom)
        return export_events(predictions, videos.read, EventFilter(), (None, None), events, limiter)
    writer = prediction_writer(wanted.format, has_bom=wanted.has_bom)
    return export_predictions(predictions, videos.read, _EVERYTHING, writer, limiter)
