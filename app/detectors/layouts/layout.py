"""The layout of a network's outputs: which of them hold boxes, and how."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ...domain.model_input import LayoutName
from ..base import clean_label

Variant = Literal["plain", "transposed", "end_to_end", "logits"]

Size = tuple[int, int]
"""Height and width in pixels."""


class Output(NamedTuple):
    """An output of a network for one picture; `values` is None if it is no array."""

    name: str
    values: NDArray[np.generic] | None

    @property
    def shape(self) -> tuple[int, ...]:
        return () if self.values is None else self.values.shape

    @property
    def is_float(self) -> bool:
        return self.values is not None and self.values.dtype in (np.float32, np.float16)

    def __str__(self) -> str:
        return f"{clean_label(self.name)!r} {list(self.shape)}"


class Layout(Struct, frozen=True):
    """How the outputs named `outputs` hold boxes. `classes` is the number of classes, 0 if it is not known.

    `variant` tells layouts of one family apart: boxes as rows instead of columns, after suppression, or
    with logits instead of probabilities.
    """

    name: LayoutName
    classes: int
    outputs: tuple[str, ...] = ()
    variant: Variant = "plain"


def describe(outputs: Sequence[Output]) -> str:
    """Return the names and shapes of the first few outputs, for a user."""
    text = ", ".join(map(str, outputs[:4]))
    return f"{text}, …" if len(outputs) > 4 else text
