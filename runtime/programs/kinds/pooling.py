"""Maximum and average over sliding windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.kernels.arguments import integer, integers, output_sharding, text
from wsec.runtime.programs.kinds.geometry import positions, sharding_of, table
from wsec.runtime.programs.kinds.products import fill
from wsec.runtime.programs.kinds.tiles import tile_of, vectors
from wsec.runtime.programs.kinds.windows import windows
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array
    from wsec.runtime.programs.context import Block, KernelContext
    from wsec.runtime.simulator.instructions import Instruction


def pooling(context: KernelContext, result: Block) -> list[Instruction]:
    """`x` [n, c, D], whose block is filled with what wins no maximum, or adds nothing."""
    kernel = context.kernel
    greatest = text(kernel, "mode") == "max"
    spatial = [f"d{index}" for index in range(len(result.shape) - 2)]
    seen, taps = windows(context, result, "nc", integers(kernel, "pads_begin"))
    y = tile_of(result, ("n", "c", *spatial))
    operation = Operation.MAXIMUM if greatest else Operation.ADD
    instructions = [
        *fill(context, y, -np.inf if greatest else 0),
        *vectors(operation, y, y, seen, summed=taps),
    ]
    if not greatest:
        share = table(context, np.float32(1) / _counts(kernel).astype(np.float32), spatial)
        instructions += vectors(Operation.MULTIPLY, y, y, share)
    return instructions


def _counts(kernel: Kernel) -> Array:
    """How many positions each window counts, [mesh axes, spatial dimensions]; at least 1."""
    mesh = kernel.mesh
    made, held = output_sharding(kernel).dimensions[2:], sharding_of(kernel, "x").dimensions[2:]
    padded = bool(integer(kernel, "count_include_pad"))
    names = ("window", "strides", "dilations", "pads_begin", "pads_end")
    counts: Array = np.ones((1,) * (len(mesh.axes) + len(made)), np.int64)
    arguments = zip(*(integers(kernel, name) for name in names), strict=True)
    for index, (window, stride, dilation, begin, end) in enumerate(arguments):
        first = positions(made[index], mesh) * stride - begin
        low, high = (-begin, held[index].extent + end) if padded else (0, held[index].extent)
        counted = sum(
            ((first + tap * dilation >= low) & (first + tap * dilation < high)).astype(np.int64)
            for tap in range(window)
        )
        shape = (*first.shape[:-1], *(first.shape[-1] if at == index else 1 for at in range(len(made))))
        counts = counts * np.asarray(counted).reshape(shape)
    return np.maximum(counts, 1)
