"""Take results away as files."""

from datetime import datetime
from functools import partial
from typing import Annotated, Literal
from urllib.parse import quote
from uuid import UUID

from anyio import to_thread
from litestar import get
from litestar.params import FromPath
from litestar.response import Stream
from msgspec import Meta, Struct, structs

from ...domain.event import EventKind
from .. import examples
from ..exports.formats import ENDINGS, EVENTS_AS, Format, FormatError, event_writer, prediction_writer
from ..exports.streams import export_events, export_predictions
from ..exports.videos import BatchVideos, KnownVideos, read_video
from ..frame_range import FOOTAGE_GONE
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import BAD_REQUEST, GONE, NOT_FOUND, ProblemError, no_batch, no_scenario
from ..http.requests import ApiRequest
from ..queries.batches import find_batch
from ..queries.events import EventFilter
from ..queries.predictions import MAX_FRAME, PredictionFilter
from ..queries.scenarios import find_row, list_succession
from ..video_times import Time, check_times, to_seconds

_OTHER_TYPES = (
    "application/jsonl",
    "application/vnd.apache.parquet",
    "application/json",
    "text/plain",
    "application/zip",
)
_MAX_NAME = 100  # characters of a scenario's name in that of its file


class ExportQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /scenarios/{id}/export."""

    format: Annotated[
        Format,
        Meta(
            description="csv: a row for each detection or event; jsonl: a line of JSON for each sampled frame"
            " or event; parquet: the columns of csv with their types; coco: one JSON object with pictures,"
            " annotations and categories; mot: a line for each detection as in the MOT Challenge; mot_zip:"
            " a zip with a folder for each video as in the MOT Challenge"
        ),
    ]
    what: Annotated[
        Literal["predictions", "events"], Meta(description="events: as csv, jsonl or parquet")
    ] = "predictions"
    label: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1000)] | None,
        Meta(description="only detections or events with this label"),
    ] = None
    min_confidence: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="only detections with at least this confidence"),
    ] = None
    kind: Annotated[EventKind | None, Meta(description="only events of this kind")] = None
    from_time: Annotated[Time | None, Meta(description="the first time, as for the predictions")] = None
    to_time: Annotated[Time | None, Meta(description="the time that ends the range, exclusive")] = None
    bom: Annotated[
        bool, Meta(description="begin csv with a byte order mark, by which spreadsheets know UTF-8")
    ] = False

    def check(self) -> None:
        """Raise ProblemError (400) for what has no meaning together."""
        if self.what == "events" and self.min_confidence is not None:
            raise ProblemError(
                BAD_REQUEST, "Events cannot be chosen by confidence. Leave it out.", field="min_confidence"
            )
        if self.what == "predictions" and self.kind is not None:
            raise ProblemError(BAD_REQUEST, "Only events have a kind: add `what=events`.", field="kind")
        if self.bom and self.format != "csv":
            raise ProblemError(BAD_REQUEST, "Only csv can have a byte order mark.", field="bom")

    def filter(self) -> PredictionFilter:
        """Return which predictions are wanted."""
        return PredictionFilter(
            to_frame=MAX_FRAME,
            from_time=to_seconds(self.from_time),
            to_time=to_seconds(self.to_time),
            label=self.label,
            min_confidence=self.min_confidence,
        )


@get(
    "/scenarios/{scenario_id:uuid}/export",
    doc=OperationDoc(
        id="exportScenario",
        tag="results",
        summary="Take a scenario's predictions or events away as a file",
        description=(
            "What is stored when the request begins. A frame without detections has a line in jsonl and a"
            " picture in coco, and nothing in csv and mot, unless `label` or `min_confidence` is given: then"
            " only frames are told that have one. An export that cannot go on ends with a broken connection,"
            " so that half a file is not taken for a whole one."
        ),
        query=ExportQuery,
        responses={
            200: ResponseDoc(
                "The file.",
                str,
                "scenario_id,scenario,frame,time,…\r\n",
                media_type="text/csv",
                alternatives=_OTHER_TYPES,
                headers={"Content-Disposition": "A name for the file."},
            )
        },
        problems={
            BAD_REQUEST: EVENTS_AS,
            NOT_FOUND: examples.NO_SCENARIO,
            GONE: FOOTAGE_GONE,
        },
    ),
)
async def export_scenario(request: ApiRequest, scenario_id: FromPath[UUID]) -> Stream:
    """Return the file. Raises ProblemError (400, 404, 410)."""
    query = request.parameters(ExportQuery)
    query.check()
    deps = request.deps
    row = await find_row(deps.scenarios, scenario_id)
    if row is None:
        raise no_scenario(scenario_id)
    video = await read_video(deps, row)
    check_times(row, is_dated=video.frames.is_dated, from_time=query.from_time, to_time=query.to_time)
    if query.what == "events":
        succession = reversed(await list_succession(deps.scenarios, scenario_id))
        videos = [structs.replace(video, scenario_id=each) for each in succession]
    else:
        videos = [video]
    return await _stream(request, query, KnownVideos(videos), video.name)


class BatchExportQuery(ExportQuery, frozen=True, forbid_unknown_fields=True):
    """The parameters of GET /batches/{id}/export."""

    def check(self) -> None:
        """Raise ProblemError (400) for what has no meaning together, or for several videos."""
        super().check()
        if self.format == "mot":
            detail = "A file of the MOT Challenge is of one video: export as mot_zip, a folder for each."
            raise ProblemError(BAD_REQUEST, detail, field="format")
        for name, time in (("from_time", self.from_time), ("to_time", self.to_time)):
            if isinstance(time, datetime):
                detail = f"`{name}` must be in seconds from the start: the batch has recordings."
                raise ProblemError(BAD_REQUEST, detail, field=name)


@get(
    "/batches/{batch_id:uuid}/export",
    doc=OperationDoc(
        id="exportBatch",
        tag="batches",
        summary="Take the predictions or events of a batch away as one file",
        description=(
            "As for a scenario, with all scenarios of the batch, the oldest first. In coco, each video has a"
            " number from 1; the pictures of video n have the ids from (n − 1) × 1,000,000,000 + 1, in the"
            " order of their frames, and names that begin with the path of the recording."
        ),
        query=BatchExportQuery,
        responses={
            200: ResponseDoc(
                "The file.",
                str,
                "scenario_id,scenario,frame,time,…\r\n",
                media_type="text/csv",
                alternatives=_OTHER_TYPES,
                headers={"Content-Disposition": "A name for the file."},
            )
        },
        problems={BAD_REQUEST: EVENTS_AS, NOT_FOUND: examples.NO_BATCH},
    ),
)
async def export_batch(request: ApiRequest, batch_id: FromPath[UUID]) -> Stream:
    """Return the file. Raises ProblemError (400, 404)."""
    query = request.parameters(BatchExportQuery)
    query.check()
    batch = await find_batch(request.deps.scenarios, batch_id)
    if batch is None:
        raise no_batch(batch_id)
    wanted = None if query.what == "events" else query.filter()
    videos = BatchVideos(request.deps, batch_id, wanted)
    return await _stream(request, query, videos, batch.name or "batch")


async def _stream(
    request: ApiRequest, query: ExportQuery, videos: KnownVideos | BatchVideos, name: str
) -> Stream:
    predictions, limiter = request.deps.predictions, request.app.state.export_limiter
    try:  # in a thread: the first Parquet file loads a large package
        if query.what == "events":
            between = to_seconds(query.from_time), to_seconds(query.to_time)
            wanted = EventFilter(kind=query.kind, label=query.label)
            events = await to_thread.run_sync(partial(event_writer, query.format, has_bom=query.bom))
            parts = export_events(predictions, videos.read, wanted, between, events, limiter)
            media_type = events.media_type
        else:
            writer = await to_thread.run_sync(partial(prediction_writer, query.format, has_bom=query.bom))
            parts = export_predictions(predictions, videos.read, query.filter(), writer, limiter)
            media_type = writer.media_type
    except FormatError as error:
        raise ProblemError(BAD_REQUEST, str(error), field="format") from error
    file_name = f"{name[-_MAX_NAME:]}-{query.what}.{ENDINGS[query.format]}"
    headers = {"Content-Disposition": disposition(file_name), "Cache-Control": "no-store"}
    return Stream(parts, media_type=media_type, headers=headers)


def disposition(name: str) -> str:
    """Return the header that names a downloaded file, as in RFC 6266: without folders, in any script."""
    plain = (
        "".join(each if each.isalnum() or each in "-_. ()" else "_" for each in name).strip(". ") or "export"
    )
    ascii_name = plain.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(plain)}"
