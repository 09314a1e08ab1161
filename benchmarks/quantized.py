"""A quantized network (8-bit integers) in both formats, compared with floats in the same bare loop.

Which is faster depends on the processor: the instruction that multiplies 8-bit integers (VNNI) takes unsigned
pictures and signed weights; other processors need extra steps that cost more than they save.
"""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from anyio import to_thread
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from benchmarks import network
from benchmarks.inference import bare
from benchmarks.table import Row, alternate, command

_SIZES = ((640, 640), (192, 320))
_KINDS = {"unsigned": QuantType.QUInt8, "signed": QuantType.QInt8}
_SECONDS = 2.0
_PICTURES = 8


class _Pictures(CalibrationDataReader):  # type: ignore[misc]
    """Noise: the network's weights are random, so its accuracy does not matter."""

    def __init__(self, height: int, width: int) -> None:
        chance = np.random.default_rng(1)
        self._left: Iterator[NDArray[np.float32]] = (
            chance.random((1, 3, height, width), dtype=np.float32) for _ in range(_PICTURES)
        )

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        picture = next(self._left, None)
        return None if picture is None else {"images": picture}


def quantize(model: Path, height: int, width: int, kind: str) -> Path:
    """Write the model with 8-bit convolutions; `kind` is the type of the pictures between layers."""
    path = model.with_stem(f"{model.stem}-{kind}")
    quantize_static(
        model,
        path,
        _Pictures(height, width),
        activation_type=_KINDS[kind],
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=["Conv"],
    )
    return path


async def measure(rounds: int) -> list[Row]:
    """Alternate between the network and its quantized forms, `rounds` times, in one thread."""
    logging.getLogger().setLevel(logging.ERROR)  # hides hints on how to prepare models
    rows = []
    with TemporaryDirectory() as name:
        for height, width in _SIZES:
            model = network.save(Path(name) / f"{height}.onnx", height, width)
            models = [model, *(quantize(model, height, width, kind) for kind in _KINDS)]
            plain, *others = await alternate(
                rounds,
                *(partial(to_thread.run_sync, bare, each, _SECONDS, 1, 1) for each in models),
            )
            rows += [
                Row("", f"nano at {width}×{height}, int8, {kind} activations", "inferences/s", found, plain)
                for kind, found in zip(_KINDS, others, strict=True)
            ]
    return rows


if __name__ == "__main__":
    command(__doc__, measure)
