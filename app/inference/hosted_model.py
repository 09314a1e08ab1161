"""A model as the server offers it: its metadata, and the check of what clients send."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..detectors.backends.session import Array, Session, TensorSpec
from ..detectors.base import DetectorError
from ..detectors.oip.datatypes import ProtocolError, datatype_of
from ..detectors.oip.inference import InferRequest
from ..detectors.oip.metadata import ModelMetadata, TensorMetadata
from .statistics import Statistics

VERSION = "1"
"""Of every model: a file has no versions."""


class HostedModel:
    """A network of any kind. Threads may share it. `can_batch`: requests may be computed together."""

    def __init__(self, session: Session, digest: str) -> None:
        """`digest` is the SHA-256 of the model's files.

        Raises:
            DetectorError: the protocol has no type for an input or an output
        """
        self._session = session
        self.digest = digest
        self._inputs = {tensor.name: tensor for tensor in session.inputs}
        self._outputs = {tensor.name: tensor for tensor in session.outputs}
        for tensor in (*session.inputs, *session.outputs):
            _datatype(tensor)
        # Only if all first axes have one name: an output of boxes may have another length than the batch.
        axes = {tensor.shape[0] if tensor.shape else 0 for tensor in (*session.inputs, *session.outputs)}
        self.can_batch = len(axes) == 1 and isinstance(next(iter(axes)), str)
        self.statistics = Statistics()

    def metadata(self, name: str) -> ModelMetadata:
        """Return what clients are told. `parameters` are the exporter's metadata, and what computes."""
        return ModelMetadata(
            name,
            (VERSION,),
            "onnx",
            tuple(map(_describe, self._inputs.values())),
            tuple(map(_describe, self._outputs.values())),
            {
                **self._session.metadata,
                "sha256": self.digest,
                "backend": self._session.backend,
                "precision": self._session.precision,
            },
        )

    def feeds(self, request: InferRequest) -> dict[str, Array]:
        """Return the inputs of a request by name.

        Raises:
            ProtocolError: they are not those of this model, or it asks for an output that there is not
        """
        given = {tensor.name: tensor.values for tensor in request.inputs}
        if missing := self._inputs.keys() - given.keys():
            raise ProtocolError(f"the input {min(missing)!r} is missing: the model needs it")
        if unknown := given.keys() - self._inputs.keys():
            raise ProtocolError(
                f"the model has no input {min(unknown)!r}: it has {', '.join(sorted(self._inputs))}"
            )
        for name, values in given.items():
            _check(self._inputs[name], values)
        asked = {output.name for output in request.outputs}
        if unknown := asked - self._outputs.keys():
            raise ProtocolError(
                f"the model has no output {min(unknown)!r}: it has {', '.join(sorted(self._outputs))}"
            )
        if len(asked) < len(request.outputs):
            raise ProtocolError("the request asks for one output twice")
        if self.can_batch and len({len(values) for values in given.values()}) > 1:
            raise ProtocolError("the first axes of the inputs differ: it is the batch, and must be the same")
        return given

    def wanted(self, request: InferRequest) -> tuple[str, ...]:
        """Return the names of the outputs that a request asks for, in its order."""
        return tuple(output.name for output in request.outputs) or tuple(self._outputs)

    def compute(self, feeds: dict[str, Array], outputs: Sequence[str]) -> list[Any]:
        """Return these outputs. Raises InferenceError."""
        return self._session.run(feeds, outputs)


def _describe(tensor: TensorSpec) -> TensorMetadata:
    shape = tuple(side if isinstance(side, int) else -1 for side in tensor.shape)
    return TensorMetadata(tensor.name, _datatype(tensor), shape)


def _datatype(tensor: TensorSpec) -> str:
    try:
        if tensor.dtype == "object":
            raise ProtocolError("text")
        return datatype_of(np.dtype(tensor.dtype))
    except (ProtocolError, TypeError) as error:
        raise DetectorError(
            f"Its tensor {tensor.name!r} is of the type {tensor.dtype}, which this server does not send:"
            " export it with numbers."
        ) from error


def _check(expected: TensorSpec, values: Array) -> None:
    shape = [side if isinstance(side, int) else -1 for side in expected.shape]
    fits = len(shape) == values.ndim and all(
        side in (-1, given) for side, given in zip(shape, values.shape, strict=True)
    )
    if not fits or values.size == 0:
        raise ProtocolError(
            f"the input {expected.name!r} has the shape {list(values.shape)}, but the model takes {shape}"
            " (-1: any length of at least 1)"
        )
    if values.dtype != np.dtype(expected.dtype):
        raise ProtocolError(
            f"the input {expected.name!r} is {datatype_of(values)}, but the model takes"
            f" {datatype_of(np.dtype(expected.dtype))}"
        )
