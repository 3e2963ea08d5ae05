"""The windows that every core's output positions see of its block of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.runtime.blocks import block_starts
from wsec.runtime.kernels.arguments import input_sharding, integers, output_sharding
from wsec.runtime.local_reads import begun_at, windows

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array


def sliding_windows(kernel: Kernel, x: Array, index: int, *, first: int, pad: int) -> Array:
    """The blocks of `x` with a last axis of taps for spatial dimension `index`, which is dimension `first + index`.

    Output `o` sees `x` at `o * stride - pad + tap * dilation`. What a block does not hold of that is poison.
    """
    mesh, place = kernel.mesh, first + index
    axis = len(mesh.axes) + place
    made, held = output_sharding(kernel).dimensions[place], input_sharding(kernel, "x").dimensions[place]
    window, stride, dilation = (integers(kernel, name)[index] for name in ("window", "strides", "dilations"))
    begin = block_starts(made, mesh) * stride - pad - block_starts(held, mesh)
    span = (made.block - 1) * stride + (window - 1) * dilation + 1
    x = begun_at(x, axis, begin, span, len(mesh.axes))
    return windows(x, axis, count=made.block, window=window, stride=stride, dilation=dilation)
