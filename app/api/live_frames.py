"""Answer with live pictures: one at a time, or as a stream."""

from collections.abc import AsyncIterator
from functools import partial
from time import monotonic

from anyio import sleep
from asyncpg import Record
from litestar import Response

from ..concurrency.threads import in_daemon_thread
from ..domain.analysis import AnalysisRules
from ..domain.prediction import Prediction
from ..domain.sampling import FixedRate, KeyframesOnly
from ..domain.spec import ScenarioSpec
from ..video.drawing import Overlay, draw_on_jpeg
from .http.conditions import is_not_modified
from .http.problems import NO_PICTURE, ProblemError, unavailable
from .http.requests import ApiRequest
from .live_pictures import READ_EVERY, LivePictureView
from .queries.scenarios import find_row
from .queries.stored_frames import find_frame_before
from .recorded_pictures import PictureOptions, overlay_of, spec_of

LONG_POLL = 10.0
"""Seconds for which a request waits for a later frame."""

_PATIENCE = 5.0  # seconds
_STORED_WITHIN = 3.0  # seconds in which the detections of a live picture are stored
_MOST_AGE, _MOST_INTERVAL = 1.0, 10.0  # seconds


async def live_frame(
    request: ApiRequest,
    row: Record,
    options: PictureOptions,
    rules: AnalysisRules | None,
    *,
    after: int | None = None,
) -> Response[bytes]:
    """Return the newest picture of a live source; 204 if none after a frame came in time.

    Raises ProblemError (409) if the scenario does not run, and (503) if there is no picture.
    """
    if row["state"] == "inactive":
        detail = "The scenario does not run, and frames of live sources are not kept. Start it to see them."
        raise ProblemError(NO_PICTURE, detail)
    spec = spec_of(row)
    interval = _interval(spec)
    patience = max(_PATIENCE, 1.5 * interval) if after is None else LONG_POLL
    view = await request.live_pictures.newest(
        row["id"], max(_MOST_AGE, 1.5 * interval), patience, after=-1 if after is None else after
    )
    if view is None and after is not None:
        return Response(b"", status_code=204)
    if view is None:
        raise unavailable(
            f"No picture came within {patience:g} seconds. GET /scenarios/{row['id']} says whether the"
            " scenario runs, and whether its source was lost.",
            scenario_id=row["id"],
        )
    stored = view.stored
    tag = f'"live-{stored.attempt}-{stored.frame}-{options.width}-{options.annotated}"'
    headers = {
        "ETag": tag,
        "Cache-Control": "no-store",
        "Frame-Number": str(stored.frame),
        "Frame-Time": str(stored.time),
    }
    if is_not_modified(request, tag):
        return Response(b"", status_code=304, headers=headers)
    jpeg = await _shown(request, row, view, options, rules or spec.rules)
    return Response(jpeg, headers=headers, media_type="image/jpeg")


async def follow(
    request: ApiRequest, row: Record, options: PictureOptions, first: Response[bytes]
) -> AsyncIterator[bytes]:
    """Yield the pictures of a live source until the scenario stops or the service does."""
    if first.content:
        yield first.content
    rules, interval = spec_of(row).rules, _interval(spec_of(row))
    frame = int(first.headers["Frame-Number"])
    while not request.options.shutting_down.is_set():
        view = await request.live_pictures.newest(row["id"], max(_MOST_AGE, 1.5 * interval), 1.0, after=frame)
        if view is not None:
            yield await _shown(request, row, view, options, rules)
            frame = view.stored.frame
            continue
        now = await find_row(request.deps.scenarios, row["id"])
        if now is None or now["state"] == "inactive":
            return


def _interval(spec: ScenarioSpec) -> float:
    """Return the seconds between sampled frames; of key frames, the longest that is usual."""
    if isinstance(spec.sampling, FixedRate):
        return min(1 / spec.sampling.fps, _MOST_INTERVAL)
    return _MOST_INTERVAL if isinstance(spec.sampling, KeyframesOnly) else 0.0


async def _shown(
    request: ApiRequest, row: Record, view: LivePictureView, options: PictureOptions, rules: AnalysisRules
) -> bytes:
    if not options.annotated and options.width is None:
        return view.jpeg

    async def make() -> bytes:
        prediction = await _stored(request, row, view) if options.annotated else None
        return await in_daemon_thread("picture", partial(_draw, view, options, prediction, rules))

    return await view.variant((options, rules), make)


async def _stored(request: ApiRequest, row: Record, view: LivePictureView) -> Prediction:
    """Return what was found in the frame, once it is stored. Raises ProblemError (503)."""
    until = monotonic() + _STORED_WITHIN
    frame = view.stored.frame
    while True:
        found = await find_frame_before(request.deps.predictions, row["id"], frame=frame)
        if found is not None and found.prediction.frame == frame:
            return found.prediction
        if monotonic() > until:
            raise unavailable("What was found in the newest frame is not stored yet. Repeat the request.")
        await sleep(READ_EVERY)


def _draw(
    view: LivePictureView, options: PictureOptions, prediction: Prediction | None, rules: AnalysisRules
) -> bytes:
    overlay = Overlay() if prediction is None else overlay_of(prediction, rules)
    return draw_on_jpeg(view.jpeg, overlay, view.stored.width, options.width)
