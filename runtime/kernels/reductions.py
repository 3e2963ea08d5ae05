"""Reductions of whole dimensions: each core reduces its block, partial results are combined to index 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.collectives import combine
from wsec.runtime.element_types import Array, accumulator, highest, is_floating, lowest
from wsec.runtime.kernels.arguments import integer, integers, output_sharding, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import DType

_COMBINATIONS: dict[str, np.ufunc] = {"max": np.maximum, "min": np.minimum, "prod": np.multiply}
_FINISHES: dict[str, np.ufunc] = {"l2": np.sqrt, "log_sum": np.log}
_TERMS: dict[str, Callable[[Array], Array]] = {"l1": np.abs, "l2": np.square, "sum_square": np.square}


def reduction(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Reduce*: `x` [d0, d1 ...] to the kept dimensions, those reduced with extent 1 where `keepdims`."""
    x = blocks["x"]
    mesh = kernel.mesh
    dimensions = tuple(len(mesh.axes) + axis for axis in integers(kernel, "axes"))
    operation = text(kernel, "operation")
    inexact = operation in {"l2", "log_sum", "log_sum_exp"} and not is_floating(x.dtype)
    values = x.astype(np.float64 if inexact else accumulator(x.dtype), copy=False)
    root = output_sharding(kernel).root
    if operation == "log_sum_exp":
        result = _log_sum_exp(kernel, values, dimensions)
    else:
        combination = _COMBINATIONS.get(operation, np.add)
        terms = _TERMS[operation](values) if operation in _TERMS else values
        partial = combination.reduce(terms, axis=dimensions, keepdims=True, dtype=terms.dtype)
        result = _finished(kernel, combine(partial, mesh, root, combination, kernel.collectives))
    result = result.astype(x.dtype, copy=False)
    return result if integer(kernel, "keepdims") else np.squeeze(result, axis=dimensions)


def reduction_fill(kernel: Kernel, _role: str, dtype: DType) -> Any:
    """The neutral element of the operation."""
    operation = text(kernel, "operation")
    if operation in {"max", "log_sum_exp"}:
        return lowest(dtype)
    if operation == "min":
        return highest(dtype)
    return 1 if operation == "prod" else 0


def _finished(kernel: Kernel, total: Array) -> Array:
    operation = text(kernel, "operation")
    if operation in _FINISHES:
        finished: Array = _FINISHES[operation](total)
        return finished
    if operation != "mean":
        return total
    count = integer(kernel, "count")
    if is_floating(total.dtype):
        mean: Array = total / total.dtype.type(count)
        return mean
    return np.trunc(total / count).astype(total.dtype)


def _log_sum_exp(kernel: Kernel, values: Array, dimensions: tuple[int, ...]) -> Array:
    """As a sum scaled by the maximum of all cores, so that it does not overflow."""
    mesh, root = kernel.mesh, output_sharding(kernel).root
    collectives = kernel.collectives
    greatest = combine(values.max(axis=dimensions, keepdims=True), mesh, root, np.maximum, collectives)
    shift = np.where(np.isfinite(greatest), greatest, 0).astype(values.dtype)
    scaled = np.exp(values - shift)
    total = combine(scaled.sum(axis=dimensions, keepdims=True), mesh, root, np.add, collectives)
    result: Array = np.log(total) + shift
    return result
