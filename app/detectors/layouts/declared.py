"""What a network declares to take, and the input that follows from it and from its layout."""

from collections.abc import Sequence

from msgspec import Struct

from ...domain.model_input import ModelInput
from ..backends.session import TensorSpec
from ..base import DetectorError
from .families import Family
from .metadata import LARGEST_SIDE, Metadata
from .preprocessing import PictureFormat

EXTRA_INPUTS = ("orig_target_sizes", "pixel_mask")
"""Inputs besides the picture that are known: its width and height, and which pixels are not padding."""

STRIDE = 32
_DTYPES = ("float32", "float16", "uint8")


class DeclaredInput(Struct, frozen=True):
    """The input for pictures. A side is None if it is dynamic; `extras` are other inputs that are known."""

    name: str
    dtype: str
    sides: tuple[int | None, int | None]  # height, width
    batch: int
    has_batch_axis: bool
    is_channels_last: bool
    extras: tuple[TensorSpec, ...] = ()


def read_inputs(inputs: Sequence[TensorSpec]) -> DeclaredInput:
    """Return what is declared.

    Raises:
        DetectorError: it is not one picture of three colours, and nothing unknown beside it
    """
    extras = tuple(each for each in inputs if each.name in EXTRA_INPUTS)
    pictures = [each for each in inputs if each.name not in EXTRA_INPUTS]
    if len(pictures) != 1:
        takes = " and ".join(f"{each.name} {each.dtype} {list(each.shape)}" for each in inputs) or "nothing"
        raise DetectorError(
            f"It takes {takes}, not one picture. Export it with the picture as its only input."
        )
    (declared,) = pictures
    shape = [side if isinstance(side, int) and side > 0 else None for side in declared.shape]
    wrong = []
    if declared.dtype not in _DTYPES:
        wrong.append(f"its input is {declared.dtype}: export it with float32, float16 or uint8 input")
    has_batch_axis = len(shape) != 3
    if len(shape) not in (3, 4):
        wrong.append(f"its input has {len(shape)} axes instead of 4")
    else:
        batch, first, second, last = shape if has_batch_axis else (1, *shape)
        is_channels_last = first != 3 and last == 3
        channels = last if is_channels_last else first
        if channels not in (3, None):
            channels = last if first not in (1, 4) and last in (1, 4) else channels
            wrong.append(f"its input has {channels} channels instead of 3: train it with colour pictures")
        if not wrong:
            sides = (first, second) if is_channels_last else (second, last)
            return DeclaredInput(
                declared.name, declared.dtype, sides, batch or 1, has_batch_axis, is_channels_last, extras
            )
    told = "; ".join(wrong)
    raise DetectorError(
        f"{told[:1].upper()}{told[1:]}. It takes {declared.dtype} {list(declared.shape)} instead of"
        " float32 [1, 3, height, width]."
    )


def plan_input(
    declared: DeclaredInput, family: Family, known: ModelInput, stated: ModelInput, facts: Metadata
) -> PictureFormat:
    """Return how pictures become the input: as stated, else as known of the layout.

    Raises:
        DetectorError: what is stated contradicts the model
    """
    height, width = (
        _side(side, wanted, known_side, max(family.stride, facts.stride))
        for side, wanted, known_side in zip(
            declared.sides,
            (stated.height, stated.width),
            facts.size or (family.side, family.side),
            strict=True,
        )
    )
    if max(height, width) > LARGEST_SIDE:
        raise DetectorError(f"Its input is {width}×{height}, more than {LARGEST_SIDE}. Export a smaller one.")
    is_whole = declared.dtype == "uint8"
    if is_whole and (stated.range == 1 or stated.mean or stated.std):
        raise DetectorError(
            "Its input is uint8, which is 0 to 255. Leave range, mean and std of `input` out."
        )
    no_mean, no_std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return PictureFormat(
        name=declared.name,
        dtype=declared.dtype,
        height=height,
        width=width,
        batch=declared.batch,
        has_batch_axis=declared.has_batch_axis,
        is_channels_last=declared.is_channels_last,
        stride=max(family.stride, facts.stride if family.stride > 1 else 1),
        fit=stated.fit or known.fit or "letterbox",
        colours=stated.colours or known.colours or "rgb",
        range=255 if is_whole else stated.range or known.range or 1,
        mean=no_mean if is_whole else stated.mean or known.mean or no_mean,
        std=no_std if is_whole else stated.std or known.std or no_std,
        padding=family.padding,
    )


def _side(declared: int | None, stated: int | None, known: int, stride: int) -> int:
    if declared is None:
        return -(-(stated or known) // stride) * stride
    if stated not in (None, declared):
        raise DetectorError(
            f"Its input has a side of {declared} pixels, not {stated}. Leave it out of `input`, or export it"
            " with that size."
        )
    return declared
