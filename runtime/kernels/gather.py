"""Gather: rows of a table, each contributed by the core that holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import block_starts
from wsec.runtime.collectives import combine
from wsec.runtime.kernels.arguments import input_sharding, integer, output_sharding
from wsec.runtime.local_reads import take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import Array


def gather_rows(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Gather: `x` [P, v, Q] and `indices` [I] to [P, I, Q]; a core contributes zero for rows that it does not hold."""
    axes = len(kernel.mesh.axes)
    axis, extent = integer(kernel, "axis"), integer(kernel, "extent")
    x, indices = blocks["x"], blocks["indices"].astype(np.int64, copy=False)
    held = input_sharding(kernel, "x").dimensions[axis]
    rank = indices.ndim - axes
    rows = np.where(indices < 0, indices + extent, indices)
    local = rows - block_starts(held, kernel.mesh)[(..., *(None,) * rank)]
    mine = (local >= 0) & (local < held.block) & (rows >= 0) & (rows < held.extent)
    read = take(x, axes + axis, np.where(mine, local, 0), axes)
    after = read.ndim - axes - axis - rank
    mask = mine.reshape((*mine.shape[:axes], *(1,) * axis, *mine.shape[axes:], *(1,) * after))
    own = np.where(mask, read, np.zeros((), dtype=read.dtype))
    operation = np.logical_or if own.dtype.kind == "b" else np.add
    return combine(own, kernel.mesh, output_sharding(kernel).root, operation, kernel.collectives)
