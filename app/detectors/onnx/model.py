"""A detection network in an ONNX file: its input, its labels and the layout of its output."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..base import DetectorError
from .metadata import LARGEST_SIDE, read_metadata
from .outputs import Output, layout_of
from .session import reason
from .trial import check_values, trial_picture

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Floats = NDArray[np.float32]

STRIDE = 32


class Model:
    """Finds boxes in RGB pictures of shape (3, height, width), 0 to 1. Threads may share it.

    `height` and `width` are the input's. If `has_dynamic_shape`, it also takes smaller sides, in multiples of
    `stride`. `classes` is their number, 0 if it is not known.
    """

    def __init__(self, session: "InferenceSession", digest: str) -> None:
        """Find out what the network takes and gives. `digest` is the SHA-256 of its files.

        Raises:
            DetectorError: it is not a detection network of a known layout
        """
        metadata = read_metadata(session.get_modelmeta().custom_metadata_map)
        self._session = session
        self.digest = digest
        self._input, sides = _input(session)
        self._output = session.get_outputs()[0].name
        self.labels = metadata.names
        self.stride = max(STRIDE, metadata.stride)
        self.height, self.width = (
            side or -(-wanted // self.stride) * self.stride
            for side, wanted in zip(sides, metadata.size, strict=True)
        )
        if max(self.height, self.width) > LARGEST_SIDE:
            raise DetectorError(
                f"Its input is {self.width}×{self.height}, more than {LARGEST_SIDE}. Export a smaller one."
            )
        outputs = self._try(trial_picture(self.height, self.width))
        self.layout = layout_of(outputs, self.height, self.width, metadata)
        check_values(np.asarray(outputs[0].values)[0], self.layout, self.height, self.width)
        self.classes = self.layout.classes
        self.has_dynamic_shape = sides == (None, None) and self._takes_half_the_height()

    def infer(self, pictures: Floats) -> Floats:
        """Return the output for pictures of shape (batch, 3, height, width): (batch, …), in `layout`."""
        output: Floats = self._session.run([self._output], {self._input: pictures})[0]
        return output

    def label(self, number: int) -> str:
        """Return the name of the class with this number."""
        return self.labels.get(number, f"class:{number}")

    def _try(self, picture: Floats) -> list[Output]:
        """Return all outputs for a picture."""
        try:
            values = self._session.run(None, {self._input: picture})
        except Exception as error:
            raise DetectorError(f"It fails on a test picture: {reason(error)}") from error
        return [
            Output(declared.name, value if isinstance(value, np.ndarray) else None)
            for declared, value in zip(self._session.get_outputs(), values, strict=True)
        ]

    def _takes_half_the_height(self) -> bool:
        """Try a smaller input: some networks declare dynamic axes, but were exported for one size."""
        half = -(-self.height // 2 // self.stride) * self.stride
        try:
            self.infer(np.zeros((1, 3, half, self.width), np.float32))
        except Exception:
            return False
        return True


def _input(session: "InferenceSession") -> tuple[str, tuple[int | None, int | None]]:
    """Return the input's name, height and width; a side is None if it is dynamic."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        takes = " and ".join(f"{each.type} {each.shape}" for each in inputs) or "nothing"
        raise DetectorError(
            f"It takes {takes}, not one picture. Export it with the picture as its only input."
        )
    (declared,) = inputs
    shape = [side if isinstance(side, int) and side > 0 else None for side in declared.shape]
    wrong = []
    kind = declared.type.removeprefix("tensor(").removesuffix(")")
    if kind == "float16":
        wrong.append("its input is float16: export it with half=False")
    elif kind != "float":
        wrong.append(f"its input is {kind}: export it with float32 input (the weights may be 8-bit)")
    if len(shape) == 3:
        wrong.append("its input has no batch axis, as torchvision's detectors: they are not read")
    elif len(shape) != 4:
        wrong.append(f"its input has {len(shape)} axes instead of 4")
    else:
        batch, channels, height, width = shape
        if channels != 3 and width in (1, 3, 4):
            wrong.append("its input has the channels last (NHWC): export it with the channels first (NCHW)")
        elif channels not in (3, None):
            wrong.append(f"its input has {channels} channels instead of 3: train it with colour pictures")
        if batch not in (1, None):
            wrong.append(f"it takes {batch} pictures at once: export it with batch=1 or dynamic=True")
        if not wrong:
            return declared.name, (height, width)
    told = "; ".join(wrong)
    raise DetectorError(
        f"{told[:1].upper()}{told[1:]}. It takes {declared.type} {declared.shape} instead of"
        " float32 [1, 3, height, width]."
    )
