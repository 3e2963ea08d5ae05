"""The operations of the engines in numpy: float32 throughout, but for functions that are computed in double and rounded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsec.runtime.element_types import Array

_ERF = np.frompyfunc(math.erf, 1, 1)


def maximum(left: Array, right: Array) -> Array:
    """The left one unless the right one is greater: which of two zeros, or of a number and NaN, is said."""
    result: Array = np.where((left >= right) | np.isnan(left), left, right)
    return result


def minimum(left: Array, right: Array) -> Array:
    """The left one unless the right one is less, as `maximum`."""
    result: Array = np.where((left <= right) | np.isnan(left), left, right)
    return result


def exp(x: Array) -> Array:
    """The exponential."""
    return _in_double(np.exp, x)


def log(x: Array) -> Array:
    """The natural logarithm."""
    return _in_double(np.log, x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return _in_double(np.tanh, x)


def sine(x: Array) -> Array:
    """The sine of radians."""
    return _in_double(np.sin, x)


def cosine(x: Array) -> Array:
    """The cosine of radians."""
    return _in_double(np.cos, x)


def power(left: Array, right: Array) -> Array:
    """Left to the power right."""
    return _in_double(np.power, left, right)


def erf(x: Array) -> Array:
    """The error function, which numpy has not."""
    return _in_double(lambda wide: np.asarray(_ERF(wide), np.float64), x)


def reduce_in_order(
    values: Array, places: Sequence[int], operation: Callable[[Array, Array], Array], start: float
) -> Array:
    """The values combined along axes from `start` on, by rising index, the first axis the slowest; size 1 there."""
    sizes = [values.shape[place] for place in places]
    moved = np.moveaxis(values, places, range(len(places)))
    total: Array = np.full(moved.shape[len(places) :], start, values.dtype)
    for index in np.ndindex(*sizes):
        total = operation(total, moved[index])
    return np.expand_dims(total, tuple(places))


def _in_double(function: Callable[..., Any], *operands: Array) -> Array:
    wide = [operand.astype(np.float64) for operand in operands]
    result: Array = np.asarray(function(*wide)).astype(operands[0].dtype)
    return result
