"""Element types in numpy's words: what they accumulate in, their neutral elements, and the poison for lost data."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
DType = np.dtype[Any]
Held = Any
"""What the host holds: an array, of objects for text; a list of these for a sequence; None for an absent optional; a map."""

_NARROW_FLOATS = frozenset({"float16", "bfloat16"})


def element_type(name: str) -> DType:
    """The numpy type of that name, those of ml_dtypes included. Raises TypeError for an unknown name."""
    extension = getattr(ml_dtypes, name, None)
    return np.dtype(extension if isinstance(extension, type) else name)


def is_floating(dtype: DType) -> bool:
    """True for every floating-point type, those of ml_dtypes included."""
    return dtype.kind == "f" or "float" in dtype.name


def accumulator(dtype: DType) -> DType:
    """The type that sums are kept in: float32 for narrower floats, the type itself for all others."""
    return np.dtype(np.float32) if dtype.name in _NARROW_FLOATS else dtype


def lowest(dtype: DType) -> Any:
    """The neutral element of a maximum."""
    if dtype.kind == "b":
        return False
    return -np.inf if is_floating(dtype) else np.iinfo(dtype).min


def highest(dtype: DType) -> Any:
    """The neutral element of a minimum."""
    if dtype.kind == "b":
        return True
    return np.inf if is_floating(dtype) else np.iinfo(dtype).max


def poison(dtype: DType) -> Any:
    """What stands where data was needed and did not arrive: NaN, or a value that no network means."""
    if dtype.kind == "b":
        return True
    if is_floating(dtype):
        return np.nan
    return np.iinfo(dtype).min + 7 if dtype.kind == "i" else np.iinfo(dtype).max - 7


def poisoned(values: Array, lost: NDArray[np.bool_]) -> Array:
    """`values` with poison where `lost` (broadcastable) is true; truth values, which have none, are inverted."""
    loud = ~values if values.dtype.kind == "b" else np.asarray(poison(values.dtype), dtype=values.dtype)
    return np.where(lost, loud, values)
