"""Find out what a network takes and gives, by its declarations, its metadata and a trial."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ...domain.model_input import ModelInput, StatedModel
from ...domain.picture import Picture
from ..backends.session import Array, InferenceError, Session
from ..base import DetectorError, RawDetection, clean_label
from .candidates import nms
from .declared import DeclaredInput, plan_input, read_inputs
from .families import FAMILIES, Family, decode
from .layout import Layout, Output
from .metadata import Metadata, read_metadata
from .preprocessing import PictureFormat, PictureScaler, ScaledPicture
from .recognition import recognize
from .rotated import upright_after_nms
from .trial import TrialPicture, check_found, check_numbers, check_values


class UnderstoodModel(Struct, frozen=True):
    """A network whose input and outputs are known. `labels` are by class number.

    `extras` are the names of inputs besides the picture.
    """

    form: PictureFormat
    layout: Layout
    labels: Mapping[int, str]
    extras: Mapping[str, str] = {}  # name: dtype

    def feeds(self, scaled: ScaledPicture) -> dict[str, Array]:
        """Return the inputs for a picture."""
        return {self.form.name: scaled.pixels} | _extra_feeds(self.extras, self.form, scaled)

    def find(
        self,
        outputs: Sequence[Any],
        scaled: ScaledPicture,
        picture: Picture,
        *,
        confidence: float,
        iou: float,
        wanted: Sequence[int] | None = None,
    ) -> list[RawDetection]:
        """Return what is in the picture; of classes in `wanted` only, unless it is None.

        `outputs` are those that `layout.outputs` names, in that order.

        Raises:
            DetectorError: their values are not those of the layout
        """
        check_numbers(outputs)
        found = decode(outputs, self.layout, scaled.size, confidence)
        if wanted is not None:
            found = found.only(np.isin(found.classes, wanted))
        if found.angles is not None:
            found = upright_after_nms(found, iou, is_final=self.layout.variant == "end_to_end")
        elif FAMILIES[self.layout.name].needs_nms:
            found = nms(found, iou)
        check_found(found, self.layout, scaled.size)
        boxes = (found.boxes - scaled.offset) * scaled.factor
        if self.layout.name == "classifier":
            boxes[:] = 0, 0, picture.width, picture.height
        return [
            RawDetection(self.label(number), score, x1, y1, x2, y2, number)
            for number, score, (x1, y1, x2, y2) in zip(
                found.classes.tolist(), found.scores.tolist(), boxes.tolist(), strict=True
            )
        ]

    def label(self, number: int) -> str:
        """Return the name of the class with this number."""
        return self.labels.get(number, f"class:{number}")


def understand(session: Session, stated: StatedModel) -> UnderstoodModel:
    """Return how the network is read, after running it on a trial picture.

    Raises:
        DetectorError: it cannot be read with certainty; the text says what to do
    """
    facts = read_metadata(session.metadata)
    if stated.names is not None:
        facts = replace(facts, names=dict(enumerate(map(clean_label, stated.names))))
    declared = read_inputs(session.inputs)
    first = FAMILIES[stated.layout or "yolov8"]
    form = plan_input(declared, first, first.input or ModelInput(), stated.input, facts)
    outputs = _try(session, declared, form)
    layout = recognize(outputs, form.size, facts, stated.layout)
    family = FAMILIES[layout.name]
    known = _known_input(layout, family, facts)
    if known is None and stated.input == ModelInput():
        raise DetectorError(
            f"Its layout is {layout.name}, but how its input was scaled in training is not in the file. State"
            " the detector's `input`: fit, colours, range, mean and std."
        )
    planned = plan_input(declared, family, known or ModelInput(), stated.input, facts)
    if planned != form:
        form = planned
        outputs = _try(session, declared, form)
        layout = recognize(outputs, form.size, facts, stated.layout or layout.name)
    by_name = {each.name: each.values for each in outputs}
    values = [np.asarray(by_name[name], np.float32) for name in layout.outputs]
    check_numbers(values)
    check_values(values, layout, form.size)
    if declared.sides == (None, None) and form.fit != "stretch":
        form = replace(form, has_dynamic_shape=_takes_half_the_height(session, declared, form))
    return UnderstoodModel(form, layout, facts.names, {each.name: each.dtype for each in declared.extras})


def _known_input(layout: Layout, family: Family, facts: Metadata) -> ModelInput | None:
    """Return how networks of this layout were trained to see pictures, None if that differs."""
    if layout.name == "classifier" and facts.task == "classify":  # of Ultralytics
        return ModelInput(fit="crop")
    return family.input


def _try(session: Session, declared: DeclaredInput, form: PictureFormat) -> list[Output]:
    """Return all outputs for the trial picture.

    Raises:
        DetectorError: it cannot be computed
    """
    scaled = PictureScaler(form).scale(TrialPicture(form.size))
    extras = {each.name: each.dtype for each in declared.extras}
    try:
        values = session.run({form.name: scaled.pixels} | _extra_feeds(extras, form, scaled))
    except InferenceError as error:
        raise DetectorError(f"It fails on a test picture: {error}") from error
    return [
        Output(each.name, _of_one_picture(value, form.batch) if isinstance(value, np.ndarray) else None)
        for each, value in zip(session.outputs, values, strict=True)
    ]


def _of_one_picture(values: Array, batch: int) -> Array:
    """Return the values of the first picture, if the output has one for each of several."""
    has_several = batch > 1 and values.ndim > 1 and len(values) == batch
    return values[:1] if has_several else values


def _takes_half_the_height(session: Session, declared: DeclaredInput, form: PictureFormat) -> bool:
    """Try a smaller input: some networks declare dynamic axes, but were exported for one size."""
    half = -(-form.height // 2 // form.stride) * form.stride
    try:
        _try(session, declared, replace(form, height=half))
    except DetectorError:
        return False
    return True


def _extra_feeds(extras: Mapping[str, str], form: PictureFormat, scaled: ScaledPicture) -> dict[str, Array]:
    """Return the inputs besides the picture: its size (width first), and that no pixel is padding."""
    height, width = scaled.size
    values = {"orig_target_sizes": np.array((width, height)), "pixel_mask": np.ones((height, width))}
    return {
        name: np.tile(values[name].astype(dtype), (form.batch, *(1,) * values[name].ndim))
        for name, dtype in extras.items()
    }
