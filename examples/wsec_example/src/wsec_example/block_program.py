"""The runtime's part: what every core computes of SquaredDistance, for all cores at once."""

from __future__ import annotations

from operator import add
from typing import TYPE_CHECKING

import numpy as np

from wsec.api.block_programs import BlockProgram, accumulator, combine, output_sharding
from wsec_example.squared_distance import KIND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.api.block_programs import Array, Kernel


def squared_distance(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Blocks x [mesh axes, n, k], y [mesh axes, m, k] to [mesh axes, n, m].

    Cores that have a part of k each are summed along the mesh. Elements outside the extents are zero in both operands,
    so they add nothing to a sum; rows outside are ignored.
    """
    x, y = blocks["x"], blocks["y"]
    difference = (x[..., :, None, :] - y[..., None, :, :]).astype(accumulator(x.dtype), copy=False)
    partial = np.square(difference).sum(axis=-1)
    total = combine(partial, kernel.mesh, output_sharding(kernel).root, add, kernel.collectives)
    return total.astype(x.dtype, copy=False)


PROGRAMS = {KIND: BlockProgram(squared_distance)}
