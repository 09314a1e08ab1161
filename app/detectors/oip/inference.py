"""Requests to infer, and the responses to them."""

from typing import Any

from msgspec import Struct

from .datatypes import ProtocolError
from .framing import Body, decode_tensors, join, split
from .tensors import MAX_TENSORS, NamedArray, TensorEntry, encode_tensor

_BINARY = "binary_data"
_BINARY_OUTPUT = "binary_data_output"
_SHA256 = "sha256"
_UNSUPPORTED = ("classification", "shared_memory_region")


class RequestedOutput(Struct, frozen=True):
    """An output that the response must have, as bytes behind the JSON if `is_binary`."""

    name: str
    is_binary: bool = False


class InferRequest(Struct, frozen=True, eq=False):
    """What a model must compute. Without `outputs`, all outputs are wanted, as `is_binary` says."""

    inputs: tuple[NamedArray, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    is_binary: bool = False
    id: str = ""

    def wants_binary(self, name: str) -> bool:
        """Return whether the response must have this output as bytes."""
        asked = [output.is_binary for output in self.outputs if output.name == name]
        return asked[0] if asked else self.is_binary


class InferResponse(Struct, frozen=True, eq=False):
    """What a model computed. `model_version` is empty if the model has no versions.

    `sha256` is that of the model's files, which the service's own servers tell; empty from others.
    """

    model_name: str
    outputs: tuple[NamedArray, ...]
    model_version: str = ""
    id: str = ""
    sha256: str = ""


class _OutputEntry(Struct, frozen=True, omit_defaults=True):
    name: str
    parameters: dict[str, Any] | None = None


class _RequestEntry(Struct, frozen=True, omit_defaults=True):
    inputs: tuple[TensorEntry, ...]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: tuple[_OutputEntry, ...] | None = None


class _ResponseEntry(Struct, frozen=True, omit_defaults=True):
    model_name: str
    outputs: tuple[TensorEntry, ...]
    model_version: str | None = None
    id: str | None = None
    parameters: dict[str, Any] | None = None


def encode_request(request: InferRequest, *, is_binary: bool) -> Body:
    """Return the body of a request whose inputs are sent as bytes if `is_binary`, else as JSON.

    Raises:
        ProtocolError: an input's type is not of the protocol, or JSON cannot hold its values.
    """
    entries, parts = _encode_tensors(request.inputs, {tensor.name: is_binary for tensor in request.inputs})
    # Servers without the extension may reject its parameters: they are sent only if they are needed.
    outputs = tuple(
        _OutputEntry(output.name, {_BINARY: output.is_binary} if output.is_binary or is_binary else None)
        for output in request.outputs
    )
    return join(
        _RequestEntry(
            entries,
            request.id or None,
            {_BINARY_OUTPUT: True} if request.is_binary else None,
            outputs or None,
        ),
        parts,
    )


def decode_request(body: Body) -> InferRequest:
    """Return the request in a body.

    Raises:
        ProtocolError: it contradicts itself, breaks a limit, or asks for what is not supported.
    """
    message, content = split(body, _RequestEntry)
    outputs = message.outputs or ()
    if len(outputs) > MAX_TENSORS:
        raise ProtocolError(f"the request asks for more than {MAX_TENSORS} outputs")
    given = [entry.parameters or {} for entry in message.inputs] + [each.parameters or {} for each in outputs]
    for parameters in given:
        for parameter in _UNSUPPORTED:
            if parameter in parameters:
                raise ProtocolError(f"the parameter {parameter} is not supported: leave it out")
    is_binary = _flag(message.parameters, _BINARY_OUTPUT, otherwise=False)
    return InferRequest(
        decode_tensors(message.inputs, content),
        tuple(
            RequestedOutput(output.name, _flag(output.parameters, _BINARY, otherwise=is_binary))
            for output in outputs
        ),
        is_binary,
        message.id or "",
    )


def encode_response(response: InferResponse, request: InferRequest) -> Body:
    """Return the body of the response to a request.

    Raises:
        ProtocolError: an output's type is not of the protocol, or JSON cannot hold its values.
    """
    entries, parts = _encode_tensors(
        response.outputs, {tensor.name: request.wants_binary(tensor.name) for tensor in response.outputs}
    )
    return join(
        _ResponseEntry(
            response.model_name,
            entries,
            response.model_version or None,
            response.id or None,
            {_SHA256: response.sha256} if response.sha256 else None,
        ),
        parts,
    )


def decode_response(body: Body) -> InferResponse:
    """Return the response in a body.

    Raises:
        ProtocolError: it contradicts itself, or breaks a limit.
    """
    message, content = split(body, _ResponseEntry)
    sha256 = (message.parameters or {}).get(_SHA256)
    return InferResponse(
        message.model_name,
        decode_tensors(message.outputs, content),
        message.model_version or "",
        message.id or "",
        sha256 if isinstance(sha256, str) else "",
    )


def _encode_tensors(
    tensors: tuple[NamedArray, ...], binary: dict[str, bool]
) -> tuple[tuple[TensorEntry, ...], list[bytes | memoryview]]:
    entries, parts = [], []
    for tensor in tensors:
        entry, content = encode_tensor(tensor, is_binary=binary[tensor.name])
        entries.append(entry)
        if binary[tensor.name]:
            parts.append(content)
    return tuple(entries), parts


def _flag(parameters: dict[str, Any] | None, name: str, *, otherwise: bool) -> bool:
    value = (parameters or {}).get(name, otherwise)
    if not isinstance(value, bool):
        raise ProtocolError(f"the parameter {name} must be true or false")
    return value
