"""What a server tells of a model, and whether an answer is of that model."""

import re
from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from ..backends.session import TensorSpec
from ..base import clean_label
from ..oip.datatypes import NUMPY_TYPES, ProtocolError, datatype_of
from ..oip.framing import MAX_JSON_VALUES, Body
from ..oip.inference import InferResponse, decode_response
from ..oip.metadata import ModelMetadata, ServerMetadata, TensorMetadata, decode_model, decode_server
from .faults import WrongAnswerError

_COMPUTED = ("backend", "precision")  # what the service's own servers tell of how they compute
_SHA256 = re.compile("[0-9a-f]{64}")


class ServedModel(Struct, frozen=True):
    """A model as a server describes it. Two that are equal are taken for the same model."""

    name: str
    versions: tuple[str, ...]
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    parameters: tuple[tuple[str, str], ...] = ()  # those that are text

    @property
    def input_specs(self) -> tuple[TensorSpec, ...]:
        """Its inputs as a session tells them."""
        return tuple(map(_spec, self.inputs))

    @property
    def output_specs(self) -> tuple[TensorSpec, ...]:
        """Its outputs as a session tells them."""
        return tuple(map(_spec, self.outputs))

    @property
    def sha256(self) -> str:
        """The SHA-256 of its files if the server tells it, else empty."""
        known = dict(self.parameters).get("sha256", "")
        return known if _SHA256.fullmatch(known) else ""

    def pin(self, version: str) -> str:
        """Return what is pinned: the SHA-256 that the server tells of the model's files.

        Without it, that is name, version, and a digest of what the model takes and gives.
        """
        if self.sha256:
            return self.sha256
        digest = sha256(msgspec.json.encode((self.inputs, self.outputs, self.parameters))).hexdigest()
        shown = version or ", ".join(self.versions)
        return f"{clean_label(self.name)}{f' version {clean_label(shown)}' if shown else ''} ({digest[:16]})"


def read_server(body: Body) -> ServerMetadata:
    """Return a server's metadata. Raises WrongAnswerError."""
    try:
        return decode_server(body.content)
    except ProtocolError as error:
        raise WrongAnswerError(f"does not speak the Open Inference Protocol: {error}") from error


def read_model(body: Body) -> tuple[ServedModel, dict[str, str]]:
    """Return a model's metadata, and what else is told as text: `backend` and `precision`.

    Raises WrongAnswerError.
    """
    try:
        told: ModelMetadata = decode_model(body.content)
    except ProtocolError as error:
        raise WrongAnswerError(f"describes its model in no known way: {error}") from error
    texts = {key: value for key, value in (told.parameters or {}).items() if isinstance(value, str)}
    computed = {key: clean_label(texts.pop(key)) for key in _COMPUTED if key in texts}
    parameters = tuple(sorted(texts.items()))
    return ServedModel(
        told.name, told.versions or (), told.inputs or (), told.outputs or (), parameters
    ), computed


def read_outputs(body: Body, model: ServedModel, names: tuple[str, ...]) -> tuple[InferResponse, list[Any]]:
    """Return a response, and the outputs with these names.

    Raises:
        WrongAnswerError: an output is missing, has another type or shape than declared, or has NaN.
    """
    if body.has_too_many_values:
        raise WrongAnswerError(f"answers with more than {MAX_JSON_VALUES:,} values in JSON")
    try:
        response = decode_response(body)
    except ProtocolError as error:
        raise WrongAnswerError(f"answers with something else than outputs: {error}") from error
    arrays = {tensor.name: tensor.values for tensor in response.outputs}
    declared = {tensor.name: tensor for tensor in model.outputs}
    for name in names:
        if name not in arrays:
            raise WrongAnswerError(f"answers without the output {clean_label(name)!r}")
        _check_output(arrays[name], declared[name])
    return response, [arrays[name] for name in names]


def _check_output(values: Any, declared: TensorMetadata) -> None:
    shown = repr(clean_label(declared.name))
    if datatype_of(values) != declared.datatype:
        raise WrongAnswerError(
            f"answers with {datatype_of(values)} in {shown} instead of {clean_label(declared.datatype)}"
        )
    fits = len(values.shape) == len(declared.shape) and all(
        side == length or side < 0 for side, length in zip(declared.shape, values.shape, strict=True)
    )
    if not fits:
        raise WrongAnswerError(
            f"answers with the shape {list(values.shape)} in {shown} instead of {list(declared.shape)}"
        )
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise WrongAnswerError(f"answers with NaN in {shown}")


def _spec(tensor: TensorMetadata) -> TensorSpec:
    dtype = NUMPY_TYPES.get(tensor.datatype)
    name = tensor.datatype if dtype is None else dtype.name
    return TensorSpec(tensor.name, name, tuple(None if side < 0 else side for side in tensor.shape))
