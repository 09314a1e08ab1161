"""The protocol's data types, and numpy's."""

import numpy as np
from numpy.typing import DTypeLike, NDArray

BYTES = "BYTES"
"""Strings of bytes: arrays of the type `object`, whose elements are `bytes`."""

NUMPY_TYPES: dict[str, np.dtype[np.generic]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""Data types of fixed size; in binary they are little-endian."""

_NAMES = {dtype: name for name, dtype in NUMPY_TYPES.items()}


class ProtocolError(ValueError):
    """A message breaks the protocol or a limit. The text says how, for the side that sent it."""


def datatype_of(values: NDArray[np.generic] | DTypeLike) -> str:
    """Return the protocol's name of an array's type. Raises ProtocolError if it has none."""
    dtype = values.dtype if isinstance(values, np.ndarray) else np.dtype(values)
    if dtype == np.dtype(object):
        return BYTES
    name = _NAMES.get(dtype.newbyteorder("<"))
    if name is None:
        raise ProtocolError(f"arrays of the type {dtype} cannot be sent")
    return name
