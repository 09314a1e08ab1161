"""Read the models of the model folder, and try one with a picture."""

from collections.abc import Callable
from concurrent.futures import CancelledError
from functools import partial
from threading import BoundedSemaphore, Lock
from time import monotonic
from typing import Annotated, Literal, TypeVar

import msgspec
from anyio import CapacityLimiter, move_on_after, to_thread
from litestar import Response, get, post, route
from litestar.params import FromPath
from msgspec import UNSET, Meta, Struct, UnsetType

from ...detectors.backends.session import InferenceError
from ...detectors.base import DetectorError
from ...detectors.onnx.catalog import ModelCatalog, ModelInfo
from ...domain.detector_config import Fraction, Onnx
from ...domain.model_input import Colours, Fit, LayoutName, ModelInput
from ...domain.prediction import Detection
from ..examples import MODEL
from ..http.model_paths import allowed_methods, name_in
from ..http.openapi import OperationDoc, ResponseDoc
from ..http.problems import (
    INVALID,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    TOO_LARGE,
    TOO_SLOW,
    UNSUPPORTED_PICTURE,
    ProblemError,
    unavailable,
)
from ..http.requests import ApiRequest
from ..http.still_pictures import PICTURE_TYPES, PictureError, annotate, decode_picture

MAX_PICTURE = 10_000_000  # bytes
LIST_TIME = 3.0
"""Seconds in which a list examines models; it goes on with the next request."""
PATIENCE = 25.0
"""Seconds until a request is answered that a model is still being examined."""
MOST_WAITING = 4
"""Requests for models that are served at once."""
_EMPTY = (
    "The model folder of this process (VA_MODEL_ROOT) is empty. Put models there; if runners are other"
    " processes, mount their folder here, too."
)
Result = TypeVar("Result")


class ModelList(Struct, frozen=True):
    """The models, by name."""

    items: list[ModelInfo]
    note: Annotated[str | None, Meta(description="why the list is empty or not complete, and what to do")] = (
        None
    )


class TryOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How to try a model: options of the detector `onnx`, and of its `input`."""

    confidence: Annotated[Fraction, Meta(description="weaker detections are left out")] = 0.25
    iou: Annotated[Fraction, Meta(description="of two boxes of one label that overlap more, one is kept")] = (
        0.45
    )
    layout: Annotated[LayoutName | UnsetType, Meta(description="how its outputs hold boxes")] = UNSET
    fit: Annotated[Fit | UnsetType, Meta(description="how a picture gets the input's size")] = UNSET
    colours: Annotated[Colours | UnsetType, Meta(description="the order of the colours")] = UNSET
    range: Annotated[Literal["1", "255"] | UnsetType, Meta(description="the value of full brightness")] = (
        UNSET
    )
    mean: Annotated[str | UnsetType, Meta(description="of each colour, as in 0.485,0.456,0.406")] = UNSET
    std: Annotated[str | UnsetType, Meta(description="of each colour, as in 0.229,0.224,0.225")] = UNSET

    def detector(self, model: str) -> Onnx:
        """Return the configuration of the detector. Raises msgspec.ValidationError."""
        given = {name: getattr(self, name) for name in ("fit", "colours", "range", "mean", "std")}
        stated = {name: value for name, value in given.items() if value is not UNSET}
        if "range" in stated:
            stated["range"] = int(stated["range"])
        for name in ("mean", "std"):
            if name in stated:
                stated[name] = str(stated[name]).split(",")
        fields = {"type": "onnx", "model": model, "confidence": self.confidence, "iou": self.iou}
        if self.layout is not UNSET:
            fields["layout"] = self.layout
        if stated:
            fields["input"] = msgspec.convert(stated, ModelInput, strict=False)
        return msgspec.convert(fields, Onnx, from_attributes=True)


class TriedModel(Struct, frozen=True):
    """What a model finds in a picture of `width` × `height`, upright."""

    width: int
    height: int
    seconds: Annotated[float, Meta(description="to load the model if that was needed, and to find")]
    detections: tuple[Detection, ...]
    backend: Annotated[str, Meta(description="what computed it, as in `onnxruntime`")]
    precision: Annotated[str, Meta(description="in what it was computed, as in `fp32`")]


@get(
    "/models",
    doc=OperationDoc(
        id="listModels",
        tag="models",
        summary="List the models of the model folder",
        description=(
            "Each with how it is understood, or why it is rejected. New models are examined for 3 seconds;"
            " the others are `not_examined` until the next request."
        ),
        responses={200: ResponseDoc("The models, at most 1000.", ModelList, ModelList([MODEL]))},
    ),
)
async def get_models(request: ApiRequest) -> ModelList:
    """Return every file below the model folder that may be a model."""
    catalog = _catalog(request)
    until = monotonic() + LIST_TIME
    items = await _run(request, partial(catalog.find_all, lambda: monotonic() < until))
    if not items:
        return ModelList([], _EMPTY)
    waiting = sum(each.state == "not_examined" for each in items)
    return ModelList(
        items, f"Not examined yet: {waiting} of {len(items)}. Repeat the request." if waiting else None
    )


@get(
    "/models/{name:path}",
    doc=OperationDoc(
        id="getModel",
        tag="models",
        summary="Read how a model is understood",
        description="Or why it is rejected. The name may have slashes, as in `yard/cars.onnx`.",
        responses={200: ResponseDoc("The model.", ModelInfo, MODEL)},
        problems={NOT_FOUND: "There is no model 'x.onnx'. GET /models lists those that exist."},
    ),
)
async def get_model(request: ApiRequest, name: FromPath[str]) -> ModelInfo:
    """Return one model, with its labels."""
    name, is_try = name_in(name)
    if is_try:
        raise _wrong_method(request)
    try:
        return await _run(request, partial(_catalog(request).describe, name))
    except FileNotFoundError as error:
        raise _no_model(name) from error


@post(
    "/models/{name:path}",
    status_code=200,
    request_max_body_size=MAX_PICTURE,
    doc=OperationDoc(
        id="tryModel",
        path="/models/{name}/try",
        tag="models",
        summary="Try a model with a picture",
        description=(
            "The body is a JPEG or PNG of at most 10 MB. The answer is what the model finds, or the picture"
            " with boxes if `Accept` names `image/jpeg`. The model runs in this process:"
            " `backend` says with what."
        ),
        query=TryOptions,
        body_types=PICTURE_TYPES,
        responses={
            200: ResponseDoc(
                "What was found.",
                TriedModel,
                TriedModel(
                    1280,
                    720,
                    0.21,
                    (Detection("person", 0.875, (10.0, 20.0, 90.0, 300.0), None, 0),),
                    "onnxruntime",
                    "fp32",
                ),
                alternatives=("image/jpeg",),
            )
        },
        problems={
            NOT_FOUND: "There is no model 'x.onnx'. GET /models lists those that exist.",
            TOO_SLOW: "The picture must arrive within 20 seconds. Send the request again.",
            TOO_LARGE: "A picture may have at most 10 MB.",
            UNSUPPORTED_PICTURE: "Send a picture with the header `Content-Type: image/jpeg` or `image/png`.",
            INVALID: "The model 'x.onnx' cannot be used. Its input is int8: export it with float32 input.",
        },
    ),
)
async def try_model(request: ApiRequest, name: FromPath[str]) -> Response[bytes] | TriedModel:
    """Run a model on the picture in the body."""
    name, is_try = name_in(name)
    if not is_try:
        raise _wrong_method(request)
    options = request.parameters(TryOptions)
    catalog = _catalog(request)
    media_type, _ = request.content_type
    if media_type not in PICTURE_TYPES:
        detail = "Send a picture with the header `Content-Type: image/jpeg` or `image/png`."
        raise ProblemError(UNSUPPORTED_PICTURE, detail)
    body = await request.received_body()
    try:
        config = options.detector(name)
    except msgspec.ValidationError as error:
        raise ProblemError(
            INVALID, "`mean` and `std` must be three numbers with commas between, those of `std` above 0."
        ) from error
    wants_picture = "image/jpeg" in request.headers.get("accept", "")
    try:
        return await _run(request, partial(_try, catalog, config, body, wants_picture=wants_picture))
    except FileNotFoundError as error:
        raise _no_model(name) from error
    except (DetectorError, PictureError) as error:
        raise ProblemError(INVALID, str(error)) from error
    except InferenceError as error:
        raise ProblemError(INVALID, f"The model {name!r} cannot compute this picture: {error}") from error


@route("/models/{name:path}", http_method="OPTIONS", include_in_schema=False)
async def model_options(request: ApiRequest, name: FromPath[str]) -> Response[None]:  # noqa: ARG001
    """Return the methods of one of the two paths."""
    return Response(None, status_code=204, headers=_allow(request))


def _try(
    catalog: ModelCatalog, config: Onnx, body: bytes, *, wants_picture: bool
) -> Response[bytes] | TriedModel:
    picture = decode_picture(body)
    started = monotonic()
    found = catalog.detect(config, picture)
    if wants_picture:
        return Response(annotate(picture, found), media_type="image/jpeg")
    seconds = round(monotonic() - started, 3)
    backend = catalog.backend
    return TriedModel(picture.width, picture.height, seconds, found, backend.name, backend.precision)


async def _run(request: ApiRequest, work: Callable[[], Result]) -> Result:
    """Return what `work` returns in a thread. One works at a time, and at most MOST_WAITING threads wait.

    Raises:
        ProblemError: too many wait already, or it takes more than PATIENCE seconds; then it goes on
    """
    slots: BoundedSemaphore = request.app.state.model_slots
    if not slots.acquire(blocking=False):
        raise unavailable("Other requests are examining models. Repeat the request in a moment.")
    begun = Lock()  # who takes it first must free the slot: a thread may never begin if it is abandoned early

    def work_in_slot() -> Result:
        if not begun.acquire(blocking=False):
            raise CancelledError
        try:
            return work()
        finally:
            slots.release()

    try:
        with move_on_after(PATIENCE):
            # A limiter of its own never waits: threads that are left behind keep their slot.
            return await to_thread.run_sync(work_in_slot, limiter=CapacityLimiter(1), abandon_on_cancel=True)
    finally:
        if begun.acquire(blocking=False):
            slots.release()
    raise unavailable("A model takes long to be examined. Repeat the request in a moment.")


def _catalog(request: ApiRequest) -> ModelCatalog:
    catalog: ModelCatalog = request.app.state.model_catalog
    return catalog


def _allow(request: ApiRequest) -> dict[str, str]:
    return {"Allow": allowed_methods(request.scope["path"]) or ""}


def _wrong_method(request: ApiRequest) -> ProblemError:
    detail = "GET /models/{name} reads a model, POST /models/{name}/try tries it."
    return ProblemError(METHOD_NOT_ALLOWED, detail, headers=_allow(request))


def _no_model(name: str) -> ProblemError:
    what = "" if name.lower().endswith(".onnx") else " A model is a file whose name ends in .onnx."
    return ProblemError(
        NOT_FOUND,
        f"There is no model {name[:200]!r} in the model folder of this process (VA_MODEL_ROOT).{what}"
        " GET /models lists those that exist.",
    )
