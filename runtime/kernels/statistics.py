"""Softmax and the normalizations: parallel kernels that need a sum or maximum over all cores along some loops.

Partial statistics are combined to index 0 in the order of the fabric and broadcast back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import validity
from wsec.runtime.collectives import combine
from wsec.runtime.element_types import Array, accumulator, lowest
from wsec.runtime.kernels.arguments import input_sharding, integer, integers, number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import DType


def softmax(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Softmax and LogSoftmax along `axis`: `x` [d0 ...] to the same."""
    axis = integer(kernel, "axis")
    x = blocks["x"]
    values = x.astype(accumulator(x.dtype), copy=False)
    shifted = values - _over_cores(kernel, values, (axis,), np.maximum)
    powers = np.exp(shifted)
    total = _over_cores(kernel, powers, (axis,), np.add)
    result = shifted - np.log(total) if integer(kernel, "log") else powers / total
    return result.astype(x.dtype, copy=False)


def softmax_fill(_kernel: Kernel, _role: str, dtype: DType) -> Any:
    """Elements that are not there add nothing to the sum of exponentials."""
    return lowest(dtype)


def normalization(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """(x - mean) / sqrt(variance + epsilon) over `axes`, times `scale`, plus `bias`; without the mean if not centred."""
    axes = integers(kernel, "axes")
    x = blocks["x"]
    wide = accumulator(x.dtype)
    values = x.astype(wide, copy=False)
    count = wide.type(integer(kernel, "count"))
    if integer(kernel, "centred"):
        mean = _over_cores(kernel, values, axes, np.add) / count
        there = validity(input_sharding(kernel, "x"), kernel.mesh)
        values = np.where(there, values - mean, wide.type(0))
    variance = _over_cores(kernel, np.square(values), axes, np.add) / count
    result: Array = values / np.sqrt(variance + wide.type(number(kernel, "epsilon")))
    if "scale" in blocks:
        result = result * blocks["scale"].astype(wide, copy=False)
    if "bias" in blocks:
        result = result + blocks["bias"].astype(wide, copy=False)
    return result.astype(x.dtype, copy=False)


def _over_cores(kernel: Kernel, values: Array, axes: tuple[int, ...], operation: np.ufunc) -> Array:
    """The values combined over the dimensions `axes`, on each core and then along the mesh; size 1 there."""
    mesh = kernel.mesh
    held = input_sharding(kernel, "x").dimensions
    names = [name for axis in axes for name in held[axis].axes]
    places = tuple(len(mesh.axes) + axis for axis in axes)
    partial = operation.reduce(values, axis=places, keepdims=True)
    return combine(partial, mesh, names, operation, kernel.collectives)
