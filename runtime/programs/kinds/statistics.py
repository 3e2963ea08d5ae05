"""Reductions, softmax and the normalizations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.kernels.arguments import integer, integers, number, output_sharding, text
from wsec.runtime.programs.kinds.geometry import positions, sharding_of, table
from wsec.runtime.programs.kinds.products import fill
from wsec.runtime.programs.kinds.tiles import Tile, row_major, tile_of, vectors
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array
    from wsec.runtime.programs.context import Block, KernelContext
    from wsec.runtime.simulator.instructions import Instruction

_COMBINATIONS = {
    "max": (Operation.MAXIMUM, -np.inf),
    "min": (Operation.MINIMUM, np.inf),
    "prod": (Operation.MULTIPLY, 1.0),
}
"""Operation and neutral element of a reduction that is no sum."""


def reduction(context: KernelContext, result: Block) -> list[Instruction]:
    """`x` [d0 ...] to the kept dimensions, those reduced with extent 1 where `keepdims`."""
    kernel = context.kernel
    x, reduced = _walked(context, integers(kernel, "axes"))
    kept = {label: size for label, size in x.sizes.items() if label not in reduced}
    y = row_major(result.address, kept)
    operation, root = text(kernel, "operation"), output_sharding(kernel).root
    combination, start = _COMBINATIONS.get(operation, (Operation.ADD, 0.0))
    if operation == "log_sum_exp":
        return _log_sum_exp(context, x, y, reduced, root)
    instructions = fill(context, y, start)
    if operation in {"l2", "sum_square"}:
        instructions += summed(Operation.FMA, y, x, x, reduced)
    elif operation == "l1":
        terms = _scratch(context, x)
        instructions += vectors(Operation.ABSOLUTE, terms, x)
        instructions += summed(Operation.ADD, y, y, terms, reduced)
    else:
        instructions += summed(combination, y, y, x, reduced)
    instructions += context.combine(root, y.address, y.words, combination, everywhere=False)
    if operation == "mean":
        instructions += vectors(Operation.MULTIPLY, y, y, _share(context))
    elif operation in {"l2", "log_sum"}:
        instructions += vectors(Operation.SQUARE_ROOT if operation == "l2" else Operation.LOG, y, y)
    return instructions


def _log_sum_exp(
    context: KernelContext, x: Tile, y: Tile, reduced: Sequence[str], root: Sequence[str]
) -> list[Instruction]:
    """As a sum scaled by the maximum of all cores."""
    greatest, powers = _scratch(context, y), _scratch(context, x)
    return [
        *fill(context, greatest, -np.inf),
        *summed(Operation.MAXIMUM, greatest, greatest, x, reduced),
        *context.combine(root, greatest.address, greatest.words, Operation.MAXIMUM, everywhere=True),
        *vectors(Operation.SUBTRACT, powers, x, greatest),
        *vectors(Operation.EXP, powers, powers),
        *fill(context, y, 0),
        *summed(Operation.ADD, y, y, powers, reduced),
        *context.combine(root, y.address, y.words, Operation.ADD, everywhere=False),
        *vectors(Operation.LOG, y, y),
        *vectors(Operation.ADD, y, y, greatest),
    ]


def softmax(context: KernelContext, result: Block) -> list[Instruction]:
    """Softmax and LogSoftmax along `axis`; the block is filled with minus infinity."""
    kernel = context.kernel
    axis = integer(kernel, "axis")
    x, reduced = _walked(context, (axis,))
    y = tile_of(result, _labels(result))
    names = _mesh_axes(kernel, (axis,))
    shift, shifted = maximum_over(context, x, reduced, names)
    logarithmic = bool(integer(kernel, "log"))
    powers = _scratch(context, y) if logarithmic else y
    total, sums = sum_over(context, powers, reduced, names)
    instructions = [
        *shift,
        *vectors(Operation.SUBTRACT, y, x, shifted),
        *vectors(Operation.EXP, powers, y),
        *sums,
    ]
    if logarithmic:
        instructions += vectors(Operation.LOG, total, total)
        return [*instructions, *vectors(Operation.SUBTRACT, y, y, total)]
    instructions += vectors(Operation.DIVIDE, total, Tile(context.constant(1)), total)
    return [*instructions, *vectors(Operation.MULTIPLY, y, y, total)]


def maximum_over(
    context: KernelContext, x: Tile, reduced: Sequence[str], mesh_axes: Sequence[str]
) -> tuple[list[Instruction], Tile]:
    """Instructions for the greatest element along loops, on all cores along mesh axes, and where it then is."""
    greatest = _scratch(context, _without(x, reduced))
    return [
        *fill(context, greatest, -np.inf),
        *summed(Operation.MAXIMUM, greatest, greatest, x, reduced),
        *context.combine(mesh_axes, greatest.address, greatest.words, Operation.MAXIMUM, everywhere=True),
    ], greatest


def sum_over(
    context: KernelContext,
    x: Tile,
    reduced: Sequence[str],
    mesh_axes: Sequence[str],
    *,
    squared: bool = False,
) -> tuple[Tile, list[Instruction]]:
    """Where the sum of the elements, or of their squares, along loops will be on all cores along mesh axes, and how."""
    total = _scratch(context, _without(x, reduced))
    terms = (Operation.FMA, total, x, x) if squared else (Operation.ADD, total, total, x)
    return total, [
        *fill(context, total, 0),
        *summed(*terms, reduced),
        *context.combine(mesh_axes, total.address, total.words, Operation.ADD, everywhere=True),
    ]


def normalization(context: KernelContext, result: Block) -> list[Instruction]:
    """Deviations from the mean over `axes`, over the root of their mean square; scaled and shifted."""
    kernel = context.kernel
    axes = integers(kernel, "axes")
    x, reduced = _walked(context, axes)
    y = tile_of(result, _labels(result))
    names, share = _mesh_axes(kernel, axes), _share(context)
    instructions: list[Instruction] = []
    if integer(kernel, "centred"):
        mean, sums = sum_over(context, x, reduced, names)
        instructions += [
            *sums,
            *vectors(Operation.MULTIPLY, mean, mean, share),
            *vectors(Operation.SUBTRACT, y, x, mean),
            *_there(context, y, axes),
        ]
        x = y
    variance, sums = sum_over(context, x, reduced, names, squared=True)
    instructions += [
        *sums,
        *vectors(Operation.MULTIPLY, variance, variance, share),
        *vectors(Operation.ADD, variance, variance, Tile(context.constant(number(kernel, "epsilon")))),
        *vectors(Operation.SQUARE_ROOT, variance, variance),
        *vectors(Operation.DIVIDE, variance, Tile(context.constant(1)), variance),
        *vectors(Operation.MULTIPLY, y, x, variance),
    ]
    for role, operation in (("scale", Operation.MULTIPLY), ("bias", Operation.ADD)):
        if any(item.role == role for item in kernel.inputs):
            operand = context.block(role)
            instructions += vectors(operation, y, y, tile_of(operand, _labels(operand)))
    return instructions


def _there(context: KernelContext, y: Tile, axes: Sequence[int]) -> list[Instruction]:
    """Nothing deviates where there is nothing; only what is summed matters."""
    kernel = context.kernel
    held = sharding_of(kernel, "x").dimensions
    labels = [f"d{axis}" for axis in axes]
    there: Array = np.ones((1,) * (len(kernel.mesh.axes) + len(axes)), np.bool_)
    for index, axis in enumerate(axes):
        at = positions(held[axis], kernel.mesh)
        inside = (at >= 0) & (at < held[axis].extent)
        shape = (*at.shape[:-1], *(at.shape[-1] if place == index else 1 for place in range(len(axes))))
        there = there & inside.reshape(shape)
    if there.all():
        return []
    return vectors(Operation.MULTIPLY, y, y, table(context, there, labels))


def _labels(block: Block) -> tuple[str, ...]:
    return tuple(f"d{index}" for index in range(len(block.shape)))


def _walked(context: KernelContext, axes: Sequence[int]) -> tuple[Tile, tuple[str, ...]]:
    """The block of x by its dimensions, and the loops of those that are reduced, in their order."""
    x = context.block("x")
    return tile_of(x, _labels(x)), tuple(f"d{axis}" for axis in sorted(axes))


def _mesh_axes(kernel: Kernel, axes: Sequence[int]) -> list[str]:
    return [name for axis in axes for name in sharding_of(kernel, "x").dimensions[axis].axes]


def _share(context: KernelContext) -> Tile:
    """One over the number of elements of a mean."""
    return Tile(context.constant(float(np.float32(1) / np.float32(integer(context.kernel, "count")))))


def _without(tile: Tile, reduced: Sequence[str]) -> dict[str, int]:
    return {label: size for label, size in tile.sizes.items() if label not in reduced}


def _scratch(context: KernelContext, like: Tile | dict[str, int]) -> Tile:
    sizes = like.sizes if isinstance(like, Tile) else like
    words = 1
    for size in sizes.values():
        words *= size
    return row_major(context.scratch(words), sizes)


def summed(
    operation: Operation, result: Tile, left: Tile, right: Tile, reduced: Sequence[str]
) -> list[Instruction]:
    """Vectors whose loops `reduced` go into one element of the result."""
    return vectors(operation, result, left, right, summed=reduced)
