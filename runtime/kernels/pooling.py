"""Maximum and average over sliding windows, one spatial dimension after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import along, positions
from wsec.runtime.element_types import Array, accumulator, lowest
from wsec.runtime.kernels.arguments import input_sharding, integer, integers, output_sharding, text
from wsec.runtime.kernels.sliding_windows import sliding_windows

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import DType


def pooling(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """MaxPool and AveragePool: `x` [n, c, D] to [n, c, D]; what lies outside the extent is not part of a window."""
    x = blocks["x"]
    maximum = text(kernel, "mode") == "max"
    result = x if maximum else x.astype(accumulator(x.dtype), copy=False)
    for index, pad in enumerate(integers(kernel, "pads_begin")):
        seen = sliding_windows(kernel, result, index, first=2, pad=pad)
        result = _over_taps(seen, np.maximum if maximum else np.add)
    if not maximum:
        result = result / window_sizes(kernel).astype(result.dtype)
    return result.astype(x.dtype, copy=False)


def pooling_fill(kernel: Kernel, _role: str, dtype: DType) -> Any:
    """What is outside adds nothing to a sum and wins no maximum."""
    return lowest(dtype) if text(kernel, "mode") == "max" else 0


def _over_taps(seen: Array, operation: np.ufunc) -> Array:
    result = seen[..., 0]
    for tap in range(1, seen.shape[-1]):
        result = operation(result, seen[..., tap])
    return result


def window_sizes(kernel: Kernel) -> Array:
    """How many positions each window counts, broadcastable to the blocks of the output; at least 1."""
    axes = len(kernel.mesh.axes)
    made, held = output_sharding(kernel), input_sharding(kernel, "x")
    names = ("window", "strides", "dilations", "pads_begin", "pads_end")
    padded = bool(integer(kernel, "count_include_pad"))
    sizes: Array = np.ones((1,) * (axes + len(made.dimensions)), dtype=np.int64)
    for index, (window, stride, dilation, begin, end) in enumerate(
        zip(*(integers(kernel, name) for name in names), strict=True)
    ):
        dimension, extent = made.dimensions[2 + index], held.dimensions[2 + index].extent
        first = positions(dimension, kernel.mesh) * stride - begin
        at = first[..., None] + np.arange(window) * dilation
        low, high = (-begin, extent + end) if padded else (0, extent)
        counted = ((at >= low) & (at < high)).sum(axis=-1)
        sizes = sizes * counted.reshape(along(counted.shape, 2 + index, len(made.dimensions)))
    return np.maximum(sizes, 1)
