"""Sums of products: the matrix product, convolution and transposed convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.runtime.kernels.arguments import integers, output_sharding
from wsec.runtime.kernels.products import loop_labels, matrix_labels
from wsec.runtime.programs.kinds.tiles import Tile, tile_of, vectors
from wsec.runtime.programs.kinds.windows import windows
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.runtime.programs.context import Block, KernelContext
    from wsec.runtime.simulator.instructions import Instruction


def matmul(context: KernelContext, result: Block) -> list[Instruction]:
    """`a` [B, m, k] times `b` [B, k, n]."""
    of_a, of_b, out = matrix_labels(context.kernel)
    left, right = tile_of(context.block("a"), of_a), tile_of(context.block("b"), of_b)
    return sum_of_products(context, tile_of(result, out), left, right, loop_labels(context.kernel, "k"))


def sum_of_products(
    context: KernelContext, result: Tile, left: Tile, right: Tile, summed: Sequence[str]
) -> list[Instruction]:
    """Every core's own sums from 0 on, then those of all cores of the root axes together. The result is dense."""
    return [
        *fill(context, result, 0),
        *vectors(Operation.FMA, result, left, right, summed=summed),
        *context.combine(
            output_sharding(context.kernel).root,
            result.address,
            result.words,
            Operation.ADD,
            everywhere=False,
        ),
    ]


def fill(context: KernelContext, tile: Tile, value: float) -> list[Instruction]:
    """The same number everywhere."""
    return vectors(Operation.COPY, tile, Tile(context.constant(value)))


def convolution(context: KernelContext, result: Block) -> list[Instruction]:
    """`x` [n, g, c, D] with `w` [g, k, c, window]."""
    seen, taps = windows(context, result, "ngc", integers(context.kernel, "pads"))
    return _weighted(context, result, seen, "gkc", ("c", *taps))


def _weighted(
    context: KernelContext, result: Block, seen: Tile, weight_loops: str, summed: Sequence[str]
) -> list[Instruction]:
    """What is seen times the weights, and the bias."""
    dimensions = range(len(result.shape) - 3)
    y = tile_of(result, ("n", "g", "k", *(f"d{index}" for index in dimensions)))
    w = tile_of(context.block("w"), (*weight_loops, *(f"r{index}" for index in dimensions)))
    return [*sum_of_products(context, y, seen, w, summed), *bias(context, y)]


def bias(context: KernelContext, result: Tile) -> list[Instruction]:
    """Adds that of each channel, where there is one."""
    if all(item.role != "bias" for item in context.kernel.inputs):
        return []
    return vectors(Operation.ADD, result, result, tile_of(context.block("bias"), ("g", "k")))
