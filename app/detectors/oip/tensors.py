"""One tensor of a message: its entry in the JSON, and its bytes behind it."""

import struct
from itertools import chain
from math import prod
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Raw, Struct
from numpy.typing import NDArray

from ..base import clean_label
from .datatypes import BYTES, NUMPY_TYPES, ProtocolError, datatype_of

Array: TypeAlias = NDArray[Any]

MAX_TENSORS = 64  # of one message
MAX_AXES = 8
MAX_ELEMENTS = 2**31 - 1  # of one tensor
MAX_STRINGS = 100_000  # of one tensor: each takes 40 bytes of memory or more, and is read by itself
MAX_NAME = 500  # characters

BINARY_SIZE = "binary_data_size"
"""The parameter that says how many bytes behind the JSON are a tensor's."""

_LENGTH = struct.Struct("<I")  # before each element of BYTES


class NamedArray(NamedTuple):
    """A named array. Its type is one of NUMPY_TYPES, or `object` with elements of `bytes`."""

    name: str
    values: Array


_NO_DATA = Raw()


class TensorEntry(Struct, frozen=True, omit_defaults=True):
    """A tensor in the JSON of a message. It has `data`, or the parameter BINARY_SIZE."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Raw = _NO_DATA  # this very object is left out of the JSON


def encode_tensor(tensor: NamedArray, *, is_binary: bool) -> tuple[TensorEntry, bytes | memoryview]:
    """Return a tensor's entry, and its bytes, which are empty unless `is_binary`.

    Raises:
        ProtocolError: the array's type is not of the protocol, or JSON cannot hold its values.
    """
    name, values = tensor
    datatype = datatype_of(values)
    shape = tuple(values.shape)
    if not is_binary:
        return TensorEntry(name, shape, datatype, data=_encode_json(tensor)), b""
    content: bytes | memoryview
    if datatype == BYTES:
        content = b"".join(_LENGTH.pack(len(each)) + each for each in values.ravel().tolist())
    else:
        little = np.ascontiguousarray(values, NUMPY_TYPES[datatype])
        content = little.reshape(-1).view(np.uint8).data
    return TensorEntry(name, shape, datatype, {BINARY_SIZE: len(content)}), content


def binary_size(entry: TensorEntry) -> int | None:
    """Return how many bytes behind the JSON are this tensor's, None if its data is in the JSON.

    Raises:
        ProtocolError: it has both or neither, or its size does not fit its shape.
    """
    _check_entry(entry)
    size = (entry.parameters or {}).get(BINARY_SIZE)
    has_data = memoryview(entry.data).nbytes > 0
    if (size is not None) == has_data:
        both = "both `data` and" if has_data else "neither `data` nor"
        raise ProtocolError(f"the tensor {_shown(entry)} has {both} the parameter {BINARY_SIZE}")
    if size is None:
        return None
    count = prod(entry.shape)
    if type(size) is not int:  # a bool is an int, too
        raise ProtocolError(f"the parameter {BINARY_SIZE} of {_shown(entry)} must be a whole number")
    if entry.datatype == BYTES:
        fits, expected = size >= _LENGTH.size * count, f"at least {_LENGTH.size * count}"
    else:
        expected_size = NUMPY_TYPES[entry.datatype].itemsize * count
        fits, expected = size == expected_size, str(expected_size)
    if not fits:
        raise ProtocolError(
            f"the tensor {_shown(entry)} has {size} bytes, but its shape and data type need {expected}"
        )
    return size


def decode_tensor(entry: TensorEntry, content: memoryview | None) -> NamedArray:
    """Return the tensor of an entry that `binary_size` accepted, and of its bytes, if it has some.

    An array of bytes shares their memory, and cannot be written to.

    Raises:
        ProtocolError: the data is not of its shape and data type.
    """
    if content is None:
        flat = _decode_json(entry)
    elif entry.datatype == BYTES:
        flat = _decode_strings(entry, content)
    else:
        flat = np.frombuffer(content, NUMPY_TYPES[entry.datatype])
        if entry.datatype == "BOOL" and (np.frombuffer(content, np.uint8) > 1).any():
            raise ProtocolError(f"the tensor {_shown(entry)} has bytes that are neither 0 nor 1")
    # Code that computes may need addresses that are multiples of the element's size.
    return NamedArray(entry.name, np.require(flat.reshape(entry.shape), requirements="A"))


def _check_entry(entry: TensorEntry) -> None:
    if not 0 < len(entry.name) <= MAX_NAME:
        raise ProtocolError(f"a tensor's name must have 1 to {MAX_NAME} characters")
    if entry.datatype != BYTES and entry.datatype not in NUMPY_TYPES:
        known = ", ".join([*NUMPY_TYPES, BYTES])
        raise ProtocolError(
            f"the data type {clean_label(entry.datatype)!r} of {_shown(entry)} is not supported: send {known}"
        )
    if len(entry.shape) > MAX_AXES:
        raise ProtocolError(f"the tensor {_shown(entry)} has more than {MAX_AXES} axes")
    # Without the axes of no length, whose product with any others is 0.
    if min(entry.shape, default=0) < 0 or prod(filter(None, entry.shape)) > MAX_ELEMENTS:
        raise ProtocolError(
            f"the shape {list(entry.shape)} of {_shown(entry)} is impossible, or has more than"
            f" {MAX_ELEMENTS:,} elements"
        )
    if entry.datatype == BYTES and prod(entry.shape) > MAX_STRINGS:
        raise ProtocolError(f"the tensor {_shown(entry)} has more than {MAX_STRINGS:,} strings")


def _encode_json(tensor: NamedArray) -> Raw:
    flat: list[Any] = tensor.values.ravel().tolist()
    if tensor.values.dtype == np.dtype(object):
        try:
            flat = [each.decode() for each in flat]
        except UnicodeDecodeError:
            raise ProtocolError(f"the tensor {tensor.name!r} has bytes that are no UTF-8") from None
    elif tensor.values.dtype.kind == "f" and not np.isfinite(tensor.values).all():
        raise ProtocolError(f"the tensor {tensor.name!r} has values that JSON cannot hold (NaN or infinite)")
    return Raw(msgspec.json.encode(flat))


def _decode_json(entry: TensorEntry) -> Array:
    kind: type = float
    if entry.datatype == "BOOL":
        kind = bool
    elif entry.datatype == BYTES:
        kind = str
    elif NUMPY_TYPES[entry.datatype].kind in "iu":
        kind = int
    flat = _flat_list(entry, kind)
    if len(flat) != prod(entry.shape):
        raise ProtocolError(
            f"the tensor {_shown(entry)} has {len(flat)} values, but its shape is {list(entry.shape)}"
        )
    if kind is str:
        array = np.empty(len(flat), object)
        array[:] = [text.encode() for text in flat]
        return array
    outside = f"the tensor {_shown(entry)} has values outside of {entry.datatype}"
    try:
        with np.errstate(over="ignore"):
            numbers = np.array(flat, NUMPY_TYPES[entry.datatype])
    except OverflowError:
        raise ProtocolError(outside) from None
    if kind is float and not np.isfinite(numbers).all():
        raise ProtocolError(outside)
    return numbers


def _flat_list(entry: TensorEntry, kind: type) -> list[Any]:
    """Return the values in row-major order. They may be nested as the shape says, or not at all."""
    try:
        try:
            return msgspec.json.decode(entry.data, type=list[kind])  # type: ignore[valid-type]
        except msgspec.ValidationError:
            level: list[Any] = [msgspec.json.decode(entry.data)]
            for length in entry.shape:
                if not all(isinstance(part, list) and len(part) == length for part in level):
                    raise
                level = list(chain.from_iterable(level))
            return msgspec.convert(level, list[kind])  # type: ignore[valid-type]
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ProtocolError(
            f"the data of {_shown(entry)} is not of its shape and data type: {error}"
        ) from None


def _decode_strings(entry: TensorEntry, content: memoryview) -> Array:
    array = np.empty(prod(entry.shape), object)
    at = 0
    for number in range(len(array)):
        begin = at + _LENGTH.size
        if begin > len(content):
            break
        at = begin + _LENGTH.unpack_from(content, at)[0]
        array[number] = bytes(content[begin:at])
    else:
        if at == len(content):
            return array
    raise ProtocolError(f"the strings of {_shown(entry)} do not fill its bytes")


def _shown(entry: TensorEntry) -> str:
    return repr(clean_label(entry.name))
