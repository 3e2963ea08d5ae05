"""Blocks of a tensor in a finer view of it, so that those of two kernels with views of their own can be compared."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.sharding import Mesh, Sharding

    Integers = NDArray[np.int64]
    Bounds = tuple[Integers, Integers]


def finer_view(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    """The extents longer than 1 of the coarsest view that splits dimensions of both; None where there is none."""
    ends = {math.prod(shape[at:]) for shape in (first, second) for at in range(len(shape) + 1)}
    steps = sorted(ends)
    if math.prod(first) != math.prod(second) or 0 in ends:
        return None
    pairs = list(pairwise(steps))
    if any(many % few for few, many in pairs):
        return None
    return tuple(many // few for few, many in reversed(pairs))


def bounds_in(sharding: Sharding, mesh: Mesh, view: tuple[int, ...]) -> list[Bounds] | None:
    """First element and first one behind of every core's block, by dimension of the view; None where some block is no box there."""
    found: list[Bounds] = []
    left = list(view)
    for of_cores, extent in zip(block_bounds(sharding, mesh), sharding.shape, strict=True):
        low, high = of_cores
        factors: list[int] = []
        while math.prod(factors) < extent:
            factors.append(left.pop(0))
        for at in range(len(factors)):
            inside = math.prod(factors[at + 1 :])
            outer = low // inside, -(-high // inside)
            aligned = (low % inside == 0) & (high % inside == 0)
            if not (aligned | (outer[1] - outer[0] <= 1)).all():
                return None
            found.append(outer)
            low, high = (
                np.where(aligned, 0, low - outer[0] * inside),
                np.where(aligned, inside, high - outer[0] * inside),
            )
    return found
