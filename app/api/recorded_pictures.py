"""Pictures of stored frames of recordings, with conditional requests."""

from hashlib import sha256
from math import isfinite
from typing import Annotated
from uuid import UUID

import msgspec
from asyncpg import Record
from litestar import Response
from msgspec import Meta, Struct
from msgspec.structs import replace

from ..domain.analysis import AnalysisRules
from ..domain.prediction import DETECTOR_FAILED, Prediction
from ..domain.source import SourceError, parse_source
from ..domain.spec import ScenarioSpec
from ..domain.stored_spec import decode_spec
from ..video.drawing import Overlay
from ..video.lookup.finder import StoredFrame, WantedFrame
from ..video.lookup.protocol import FrameJob, PictureResult
from .http.conditions import is_not_modified
from .http.problems import NO_PICTURE, NOT_FOUND, ProblemError, unavailable
from .http.requests import ApiRequest
from .queries.stored_frames import FoundFrame

MAX_WIDTH = 1920
Width = Annotated[int, Meta(ge=16, le=MAX_WIDTH)]

_VERSION = 2  # raise it if the same request gives another picture than before
NO_MEDIA = (
    "This api process reads recordings below its own VA_MEDIA_ROOT: mount the folder of the runners there."
)


class PictureOptions(Struct, frozen=True):
    """How a picture is shown: with what was found in it, and at most `width` pixels wide."""

    annotated: bool = False
    width: Width | None = None


async def recorded_picture(
    request: ApiRequest,
    row: Record,
    found: FoundFrame,
    options: PictureOptions,
    rules: AnalysisRules | None = None,
) -> Response[bytes]:
    """Return the picture of a stored frame of a recording as a JPEG, or 304 if the client has it.

    `row` is the scenario's, as `find_row` returns it; `found` is what `find_frame_before(predictions, id,
    frame=n)` returned for the frame, of which the caller checks that it is the wanted one. So the picture of
    an event is `recorded_picture(request, row, await find_frame_before(…, frame=event.best_frame), options)`.
    `rules`: whose zones and lines are drawn; None: the scenario's own.
    The picture shows exactly this frame: nothing else is ever returned. It is decoded in one of the
    processes of `request.picture_processes`, from the recording below the media root of this process.

    Raises:
        ProblemError: 404 if the file is not there, 409 if the frame cannot be shown or the file is another
            one, 503 if decoding takes too long; each says why and what to do.
    """
    scenario_id: UUID = row["id"]
    prediction = found.prediction
    if prediction.error is not None and not prediction.error.startswith(DETECTOR_FAILED):
        raise ProblemError(NO_PICTURE, f"Frame {prediction.frame} has no picture: {prediction.error}.")
    tag = _entity_tag(scenario_id, found, options, rules)
    headers = {
        "ETag": tag,
        "Cache-Control": "private, no-cache",
        "Frame-Number": str(prediction.frame),
        "Frame-Time": str(prediction.time),
    }
    if is_not_modified(request, tag):
        return Response(b"", status_code=304, headers=headers, media_type="image/jpeg")
    job = _job(request, row, found, options, rules)
    result, jpeg = await request.picture_processes.show(job)
    if result.fault is not None:
        raise _problem(result, prediction.frame)
    return Response(jpeg, headers=headers, media_type="image/jpeg")


def _job(
    request: ApiRequest, row: Record, found: FoundFrame, options: PictureOptions, rules: AnalysisRules | None
) -> FrameJob:
    prediction, before = found.prediction, found.before
    spec = spec_of(row)
    rules = rules or spec.rules
    try:
        source = replace(parse_source(spec.source), track=spec.track)
    except SourceError as error:
        raise ProblemError(NO_PICTURE, f"The source is not accepted any more: {error}.") from error
    size = None
    if prediction.width and prediction.height:
        size = prediction.width, prediction.height
    wanted = WantedFrame(
        StoredFrame(prediction.frame, prediction.time),
        None if before is None else StoredFrame(*before),
        found.candidates,
        found.pins.file if found.pins else None,
        size,
    )
    return FrameJob(
        source,
        str(request.options.media_root.absolute()),
        str(request.options.source_networks),
        wanted,
        options.width or MAX_WIDTH,
        overlay_of(prediction, rules) if options.annotated else None,
    )


def overlay_of(prediction: Prediction, rules: AnalysisRules) -> Overlay:
    """Return what is drawn onto the frame; of detections, those whose numbers are finite, as in JSON."""
    drawable = [each for each in prediction.detections if all(map(isfinite, (*each.box, each.confidence)))]
    return Overlay(tuple(drawable), rules.zones, rules.lines)


def spec_of(row: Record) -> ScenarioSpec:
    """Return the specification of a row of scenarios. Raises ProblemError (409) if it is too new."""
    try:
        return decode_spec(row["spec"])
    except msgspec.ValidationError as error:
        detail = (
            "A newer version created this scenario, and this one does not understand it: upgrade this api."
        )
        raise ProblemError(NO_PICTURE, detail) from error


def _entity_tag(
    scenario_id: UUID, found: FoundFrame, options: PictureOptions, rules: AnalysisRules | None
) -> str:
    prediction = found.prediction
    parts = (_VERSION, scenario_id, prediction.frame, prediction.time, found.pins, options, rules)
    return f'"{sha256(msgspec.json.encode(parts)).hexdigest()[:32]}"'


def _problem(result: PictureResult, frame: int) -> ProblemError:
    text = result.text[:1].upper() + result.text[1:]
    match result.fault:
        case "missing":
            return ProblemError(NOT_FOUND, f"{text}. {NO_MEDIA}")
        case "slow":
            return unavailable(
                f"Frame {frame} was not found and decoded within 6 seconds. Repeat the request when the"
                " service is less busy: MPEG-TS is read on where this try ended. Recordings other than MP4,"
                " MOV, Matroska, WebM, MPEG-TS and AVI are read from their beginning: convert a long one"
                " to MP4."
            )
        case _:
            return ProblemError(NO_PICTURE, f"Frame {frame} cannot be shown: {result.text}.")
