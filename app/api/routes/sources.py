"""Try a source before a scenario is created."""

from typing import Annotated

from anyio import WouldBlock
from litestar import post
from msgspec import Meta, Struct
from msgspec.structs import replace

from ...domain.media import Media
from ...domain.source import Source, SourceError, parse_source
from ...video.lookup.protocol import TryJob
from .. import examples
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import INVALID, JSON_BODY, ProblemError, unavailable
from ..http.requests import ApiRequest

SECONDS = 10.0
"""Seconds in which a source must give a picture."""

WIDTH = 640
"""Pixels of the picture's width, at most."""


class SourceTrial(Struct, frozen=True, forbid_unknown_fields=True):
    """A source to be tried."""

    source: Annotated[str, Meta(min_length=1, max_length=10_000, description="as in POST /scenarios")]
    track: Annotated[
        Annotated[int, Meta(ge=0, le=10_000)] | None,
        Meta(description="the video track, as in POST /scenarios"),
    ] = None


class TriedSource(Struct, frozen=True):
    """What a source shows."""

    source: Annotated[str, Meta(description="without credentials")]
    media: Annotated[Media | None, Meta(description="what was found of it, as in a scenario")]
    picture: Annotated[bytes, Meta(description="its first picture, a JPEG in base64")]


@post(
    "/sources/try",
    status_code=200,
    doc=OperationDoc(
        id="trySource",
        tag="scenarios",
        summary="Try a source",
        description=(
            "Opens the source as a run would, and returns its first picture and what was found of it, or the"
            " reason why it cannot be opened. Nothing is stored. It is opened by this api process: in a"
            " fleet, from its place in the network and its media folder, which may differ from a runner's."
            " One source is tried at a time."
        ),
        body=SourceTrial,
        body_examples={
            "a camera": SourceTrial("rtsp://camera.local/stream"),
            "a test pattern": SourceTrial("test:testsrc2"),
        },
        responses={
            200: ResponseDoc(
                "What it shows.",
                TriedSource,
                TriedSource("rtsp://***@camera.local/stream", examples.SCENARIO.media, b"\xff\xd8\xff\xe0"),
            )
        },
        problems=JSON_BODY
        | {
            INVALID: "The source cannot be opened: no file 'clip.mp4' under the media root: put it there.",
        },
    ),
)
async def try_source(request: ApiRequest) -> TriedSource:
    """Open a source once. Raises ProblemError (422, 503)."""
    trial = await request.content(SourceTrial)
    source = _parsed(trial)
    trials = request.picture_processes.trials
    try:
        trials.acquire_nowait()
    except WouldBlock:
        raise unavailable("Another source is being tried. Repeat the request in a moment.") from None
    try:
        options = request.options
        media_root, networks = str(options.media_root.absolute()), str(options.source_networks)
        result, picture = await request.picture_processes.show(
            TryJob(source, media_root, networks, WIDTH, SECONDS)
        )
    finally:
        trials.release()
    if result.fault == "slow":
        detail = f"{source.redacted} gave no picture within {SECONDS:g} seconds. Repeat the request."
        raise unavailable(detail)
    if result.fault is not None:
        raise ProblemError(INVALID, f"The source cannot be opened: {result.text}.", field="source")
    return TriedSource(source.redacted, result.media, picture)


def _parsed(trial: SourceTrial) -> Source:
    try:
        source = parse_source(trial.source)
    except SourceError as error:
        text = str(error)
        raise ProblemError(INVALID, f"{text[:1].upper()}{text[1:]}.", field="source") from error
    if source.kind == "scenario":
        detail = "The footage of a scenario is not tried: GET /scenarios/{id}/frame.jpg shows its frames."
        raise ProblemError(INVALID, detail, field="source")
    return replace(source, track=trial.track)
