"""What kinds of kernels compute, in the order of the core programs (docs/core-programs.md)."""

from __future__ import annotations

from operator import add, mul
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.runtime.blocks import validity
from wsec.runtime.collectives import combine
from wsec.runtime.element_types import Array, accumulator
from wsec.runtime.kernels import BLOCK_PROGRAMS
from wsec.runtime.kernels.arguments import (
    input_sharding,
    integer,
    integers,
    number,
    output_sharding,
    text,
)
from wsec.runtime.kernels.convolution import rounded, transposed_windows_of, windows_of, with_bias
from wsec.runtime.kernels.pooling import window_sizes
from wsec.runtime.kernels.products import loop_labels, matrix_labels
from wsec.runtime.kernels.quantization import factor, finished
from wsec.runtime.kernels.sliding_windows import sliding_windows
from wsec.runtime.ordered.attention import attention
from wsec.runtime.ordered.contraction import contract_in_order
from wsec.runtime.ordered.operations import exp, log, maximum, minimum, reduce_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from wsec.compiler.plan import Kernel

    Operation = Callable[[Array, Array], Array]
    Ordered = Callable[[Kernel, Mapping[str, Array]], Array | tuple[Array, ...]]

_REDUCTIONS: Final[dict[str, tuple[Operation, float]]] = {
    "max": (maximum, -np.inf),
    "min": (minimum, np.inf),
    "prod": (mul, 1),
}
"""Operation and neutral element, where it is not a sum."""


def matmul(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """From 0 on, by rising k."""
    a, b, out = matrix_labels(kernel)
    result = contract_in_order(
        kernel,
        (factor(kernel, blocks, "a"), a),
        (factor(kernel, blocks, "b"), b),
        loop_labels(kernel, "k"),
        out,
    )
    return finished(kernel, blocks, ("a", "b"), result)


def convolution(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """From 0 on, by rising channel and, for each, by tap of the window in row-major order; then the bias."""
    total = _weighted(kernel, windows_of(kernel, blocks), "gkc", factor(kernel, blocks, "w"))
    return rounded(kernel, blocks, with_bias(kernel, blocks, total))


def transposed_convolution(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """By tap and, for each, by rising channel; a tap that meets no input adds zero, which no sum shows."""
    weights = factor(kernel, blocks, "w")
    total = _weighted(kernel, transposed_windows_of(kernel, blocks), "gck", weights, taps_first=True)
    return finished(kernel, blocks, ("x", "w"), with_bias(kernel, blocks, total))


def _weighted(
    kernel: Kernel, windows: Array, weight_loops: str, weights: Array, *, taps_first: bool = False
) -> Array:
    dimensions = range(len(integers(kernel, "window")))
    spatial, taps = (tuple(f"{letter}{index}" for index in dimensions) for letter in "dr")
    return contract_in_order(
        kernel,
        (windows, ("n", "g", "c", *spatial, *taps)),
        (weights, (*weight_loops, *taps)),
        (*taps, "c") if taps_first else ("c", *taps),
        ("n", "g", "k", *spatial),
    )


def pooling(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """From the neutral element on, by tap in row-major order; an average is the sum times the reciprocal of the count."""
    x = blocks["x"]
    greatest = text(kernel, "mode") == "max"
    seen = x.astype(accumulator(x.dtype), copy=False)
    pads = integers(kernel, "pads_begin")
    for index, pad in enumerate(pads):
        seen = sliding_windows(kernel, seen, index, first=2, pad=pad)
    taps = tuple(range(seen.ndim - len(pads), seen.ndim))
    start, operation = (-np.inf, maximum) if greatest else (0, add)
    result = reduce_in_order(seen, taps, operation, start).squeeze(taps)
    if not greatest:
        one = result.dtype.type(1)
        result = result * (one / window_sizes(kernel).astype(result.dtype))
    return result.astype(x.dtype, copy=False)


def reduction(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Terms from the neutral element on, in row-major order of the dimensions that are reduced."""
    x = blocks["x"]
    mesh, root = kernel.mesh, output_sharding(kernel).root
    places = tuple(len(mesh.axes) + axis for axis in sorted(integers(kernel, "axes")))
    operation = text(kernel, "operation")
    values = x.astype(accumulator(x.dtype), copy=False)
    function, start = _REDUCTIONS.get(operation, (add, 0))
    shift: Array | None = None
    if operation == "log_sum_exp":
        shift = combine(
            reduce_in_order(values, places, maximum, -np.inf), mesh, root, maximum, kernel.collectives
        )
        values = exp(values - shift)
    elif operation in {"l2", "sum_square"}:
        values = values * values
    elif operation == "l1":
        values = np.abs(values)
    total = combine(
        reduce_in_order(values, places, function, start), mesh, root, function, kernel.collectives
    )
    if operation == "mean":
        total = total * (total.dtype.type(1) / total.dtype.type(integer(kernel, "count")))
    elif operation == "l2":
        total = np.sqrt(total)
    elif operation in {"log_sum", "log_sum_exp"}:
        total = log(total)
    if shift is not None:
        total = total + shift
    result = total.astype(x.dtype, copy=False)
    return result if integer(kernel, "keepdims") else np.squeeze(result, axis=places)


def softmax(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Maximum and sum from the neutral element on; each power times the reciprocal of the sum."""
    axis = integer(kernel, "axis")
    x = blocks["x"]
    values = x.astype(accumulator(x.dtype), copy=False)
    shifted = values - _over_cores(kernel, values, (axis,), maximum, -np.inf)
    powers = exp(shifted)
    total = _over_cores(kernel, powers, (axis,), add, 0)
    result = shifted - log(total) if integer(kernel, "log") else powers * (total.dtype.type(1) / total)
    return result.astype(x.dtype, copy=False)


def normalization(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Means are sums times the reciprocal of the count; the deviations are multiplied by the reciprocal of the root."""
    axes = integers(kernel, "axes")
    x = blocks["x"]
    wide = accumulator(x.dtype)
    values, one = x.astype(wide, copy=False), wide.type(1)
    share = one / wide.type(integer(kernel, "count"))
    if integer(kernel, "centred"):
        mean = _over_cores(kernel, values, axes, add, 0) * share
        values = (values - mean) * validity(input_sharding(kernel, "x"), kernel.mesh).astype(wide)
    variance = _over_cores(kernel, values * values, axes, add, 0) * share
    result: Array = values * (one / np.sqrt(variance + wide.type(number(kernel, "epsilon"))))
    if "scale" in blocks:
        result = result * blocks["scale"].astype(wide, copy=False)
    if "bias" in blocks:
        result = result + blocks["bias"].astype(wide, copy=False)
    return result.astype(x.dtype, copy=False)


def _over_cores(
    kernel: Kernel, values: Array, axes: tuple[int, ...], operation: Operation, start: float
) -> Array:
    held = input_sharding(kernel, "x").dimensions
    names = [name for axis in axes for name in held[axis].axes]
    places = tuple(len(kernel.mesh.axes) + axis for axis in sorted(axes))
    return combine(
        reduce_in_order(values, places, operation, start), kernel.mesh, names, operation, kernel.collectives
    )


def _moved(kind: str) -> Ordered:
    """As usual: nothing is added, or in one order only."""

    def compute(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
        result = BLOCK_PROGRAMS[kind].compute(kernel, blocks)
        if isinstance(result, tuple):
            raise TypeError(f"{kind} has several results")
        return result

    return compute


ORDERED_PROGRAMS: Final[dict[str, Ordered]] = {
    "attention": attention,
    "convolution": convolution,
    "transposed_convolution": transposed_convolution,
    "matmul": matmul,
    "pooling": pooling,
    "reduction": reduction,
    "softmax": softmax,
    "normalization": normalization,
    **{
        kind: _moved(kind)
        for kind in ("gather", "transpose", "reshape", "slice", "pad", "concat", "expand", "resize")
    },
}
"""By kind."""
