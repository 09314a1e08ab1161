"""A first scenario for those without a video."""

from functools import partial

from litestar import post
from msgspec import Struct

from ...concurrency.threads import in_daemon_thread
from ...domain.analysis import Alert, Line, Tracking, Zone
from ...domain.detector_config import Marker
from ...domain.sampling import FixedRate
from ...video.sample import NAME, write_sample
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import NO_SAMPLE, ProblemError
from ..http.requests import ApiRequest


class SampleScenario(Struct, frozen=True):
    """The body of POST /scenarios that analyses the sample recording."""

    source: str
    detector: Marker
    sampling: FixedRate
    name: str
    tracking: Tracking
    zones: tuple[Zone, ...]
    lines: tuple[Line, ...]
    alerts: tuple[Alert, ...]


SAMPLE = SampleScenario(
    source=NAME,
    detector=Marker(),
    sampling=FixedRate(10.0),
    name="sample",
    tracking=Tracking(),
    zones=(Zone("yard", ((0.55, 0.35), (1.0, 0.35), (1.0, 1.0), (0.55, 1.0))),),
    lines=(Line("middle", (0.5, 1.0), (0.5, 0.3)),),
    alerts=(Alert("somebody in the yard", zone="yard", min_seconds=1),),
)


@post(
    "/sample",
    status_code=200,
    doc=OperationDoc(
        id="writeSample",
        tag="scenarios",
        summary="Write a sample recording into the media folder",
        description=(
            f"`{NAME}`, a clip of 12 seconds, is drawn by the service: markers move, some across a line."
            " The answer is a body for POST /scenarios that analyses it. If there is a file of this name, it"
            " stays as it is."
        ),
        responses={200: ResponseDoc("What to send to POST /scenarios.", SampleScenario, SAMPLE)},
        problems={NO_SAMPLE: "The sample cannot be written to the media folder: Permission denied. …"},
    ),
)
async def write_sample_clip(request: ApiRequest) -> SampleScenario:
    """Return the scenario to create. Raises ProblemError (409) if the recording cannot be written."""
    try:
        await in_daemon_thread("sample", partial(write_sample, request.options.media_root))
    except OSError as error:
        detail = (
            f"The sample cannot be written to the media folder: {error.strerror or error}. Let the service"
            " write there (VA_MEDIA_ROOT), or add a recording or a camera of your own."
        )
        raise ProblemError(NO_SAMPLE, detail) from error
    return SAMPLE
