"""Sums of products, one product after the other, for all cores at once."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.collectives import combine
from wsec.runtime.element_types import Array, accumulator
from wsec.runtime.kernels.arguments import output_sharding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Kernel


def contract_in_order(
    kernel: Kernel,
    first: tuple[Array, Sequence[str]],
    second: tuple[Array, Sequence[str]],
    summed: Sequence[str],
    out: Sequence[str],
) -> Array:
    """As `contract_on_mesh`: on each core from 0 on, by rising index of the labels `summed`, the first the slowest.

    Args:
        kernel: Gives the mesh and the root axes.
        first: Blocks, and a label for each block dimension. The left factor.
        second: The other operand, likewise.
        summed: Labels that are summed.
        out: Labels of the block dimensions of the result.

    Returns:
        Blocks [mesh axes, out], root axes of size 1; narrow floats as float32.

    Raises:
        ValueError: A label has different sizes in the two operands, or is in neither `summed` nor `out`.
    """
    total = sum_of_products(len(kernel.mesh.axes), first, second, summed, out)
    return combine(total, kernel.mesh, output_sharding(kernel).root, add, kernel.collectives)


def sum_of_products(
    axes: int,
    first: tuple[Array, Sequence[str]],
    second: tuple[Array, Sequence[str]],
    summed: Sequence[str],
    out: Sequence[str],
) -> Array:
    """Every core's own sums [mesh axes, out] of `contract_in_order`, of `axes` mesh axes."""
    left, right = (_in_order(axes, operand, (*summed, *out), len(summed)) for operand in (first, second))
    sizes = np.broadcast_shapes(left.shape[: len(summed)], right.shape[: len(summed)])
    left, right = (np.broadcast_to(item, (*sizes, *item.shape[len(summed) :])) for item in (left, right))
    shape = np.broadcast_shapes(left.shape, right.shape)[len(summed) :]
    total: Array = np.zeros(shape, np.result_type(left, right))
    for index in np.ndindex(*sizes):
        total = total + left[index] * right[index]
    return total


def _in_order(axes: int, operand: tuple[Array, Sequence[str]], labels: Sequence[str], summed: int) -> Array:
    """The blocks as [the first `summed` labels, mesh axes, the other labels], 1 where the operand has not the label."""
    blocks, given = operand
    gone = tuple(axes + place for place, label in enumerate(given) if label not in labels)  # of extent 1
    blocks, own = np.squeeze(blocks, gone), [label for label in given if label in labels]
    present = [label for label in labels if label in own]
    ordered = blocks.transpose([*range(axes), *(axes + own.index(label) for label in present)])
    absent = tuple(axes + place for place, label in enumerate(labels) if label not in own)
    laid = np.expand_dims(ordered, absent)
    wide = laid.astype(accumulator(laid.dtype), copy=False)
    return np.moveaxis(wide, range(axes, axes + summed), range(summed))
