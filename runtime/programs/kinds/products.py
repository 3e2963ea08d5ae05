"""Sums of products: the matrix product, convolution and transposed convolution."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.kernels.arguments import integers, output_sharding
from wsec.runtime.programs.context import Block
from wsec.runtime.programs.kinds.geometry import copy_listed, dense, local, sharding_of, starts
from wsec.runtime.programs.kinds.tiles import Axis, Tile, tile_of, vectors
from wsec.runtime.programs.kinds.windows import windows
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel
    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.simulator.instructions import Instruction


def matmul(context: KernelContext, result: Block) -> list[Instruction]:
    """`a` [B, m, k] times `b` [B, k, n]."""
    a, b = context.block("a"), context.block("b")
    batch = [f"b{index}" for index in range(len(result.shape) - 2)]
    y = tile_of(result, (*batch, "m", "n"))
    left = tile_of(a, (*batch[len(batch) - len(a.shape) + 2 :], "m", "k"))
    right = tile_of(b, (*batch[len(batch) - len(b.shape) + 2 :], "k", "n"))
    return sum_of_products(context, y, left, right, ("k",))


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


def transposed_convolution(context: KernelContext, result: Block) -> list[Instruction]:
    """`x` [n, g, c, D] with `w` [g, c, k, window]: the inputs at the outputs' spacing with zeros between, then a convolution.

    Output `o` receives input `i` through tap `r` where `o + pad = i * stride + r * dilation`. What lies between the inputs is
    0 from the start and never written.
    """
    spread, places = _spacing(context, result)
    seen = _backwards(context.kernel, spread, result)
    taps = tuple(f"r{index}" for index in range(len(result.shape) - 3))
    x = context.block("x")
    return [
        *copy_listed(context, (x.address, dense(x)), (spread.address, dense(spread)), places),
        *_weighted(context, result, seen, "gck", (*taps, "c")),
    ]


def _weighted(
    context: KernelContext, result: Block, seen: Tile, weight_loops: str, summed: Sequence[str]
) -> list[Instruction]:
    """What is seen times the weights, and the bias."""
    dimensions = range(len(result.shape) - 3)
    y = tile_of(result, ("n", "g", "k", *(f"d{index}" for index in dimensions)))
    w = tile_of(context.block("w"), (*weight_loops, *(f"r{index}" for index in dimensions)))
    instructions = sum_of_products(context, y, seen, w, summed)
    if any(item.role == "bias" for item in context.kernel.inputs):
        bias = tile_of(context.block("bias"), ("g", "k"))
        instructions += vectors(Operation.ADD, y, y, bias)
    return instructions


def _spacing(context: KernelContext, result: Block) -> tuple[Block, list[NDArray[np.int64]]]:
    """Room for the inputs at the outputs' spacing, and which input stands at each place of it, [mesh axes, places].

    Raises:
        ValueError: The block of x does not hold what the outputs receive.
    """
    kernel = context.kernel
    mesh, x = kernel.mesh, context.block("x")
    held, made = sharding_of(kernel, "x"), output_sharding(kernel)
    places = [np.arange(size).reshape((1,) * len(mesh.axes) + (-1,)) for size in x.shape[:3]]
    arguments = zip(
        *(integers(kernel, name) for name in ("window", "strides", "dilations", "pads")), strict=True
    )
    for place, (window, stride, dilation, pad) in enumerate(arguments, start=3):
        before = (window - 1) * dilation
        first = starts(made.dimensions[place], mesh)[..., None] + pad - before
        source, rest = np.divmod(first + np.arange(result.shape[place] + before), stride)
        places.append(local(held.dimensions[place], mesh, np.where(rest == 0, source, -1)))
    shape = tuple(place.shape[-1] for place in places)
    return Block(context.scratch(math.prod(shape)), shape), places


def _backwards(kernel: Kernel, spread: Block, result: Block) -> Tile:
    """What each output sees of the inputs so spaced: taps run backwards."""
    strides = dense(spread)
    axes = list(zip("ngc", spread.shape[:3], strides[:3], strict=True))
    address = spread.address
    for index, (window, dilation) in enumerate(
        zip(integers(kernel, "window"), integers(kernel, "dilations"), strict=True)
    ):
        step = strides[3 + index]
        address += (window - 1) * dilation * step
        axes += [(f"d{index}", result.shape[3 + index], step), (f"r{index}", window, -dilation * step)]
    return Tile(address, tuple(Axis(*axis) for axis in axes if axis[1] != 1))
