"""What a link brings, laid into what a kernel needs; whatever is needed and not brought is poisoned.

A link that is too short, or brings the elements of another core, thereby shows in the numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.runtime.blocks import along, block_starts, positions, scatter
from wsec.runtime.element_types import Array, poisoned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wsec.compiler.sharding import Mesh, Sharding


def deliver(tensor: Array, delivered: Sharding, needed: Sharding, mesh: Mesh, fill: Any) -> Array:
    """Every core's block of `needed`, as far as `delivered` brings it.

    Returns:
        Blocks of `needed`, `fill` outside its extents, poison inside them where the core's share of `delivered` does
        not hold the element. Elements of views of different shapes are matched by their row-major number.

    Raises:
        ValueError: One of the views does not have as many elements as the tensor.
    """
    blocks = scatter(tensor, needed, mesh, fill)
    if delivered == needed:
        return blocks
    if math.prod(delivered.shape) != tensor.size:
        raise ValueError(f"a link brings a view of {delivered.shape} of a tensor of {tensor.size} elements")
    lost = _lost(delivered, needed, mesh)
    return poisoned(blocks, lost) if lost.any() else blocks


def _lost(delivered: Sharding, needed: Sharding, mesh: Mesh) -> NDArray[np.bool_]:
    """True where an element is needed and not brought; broadcastable to the blocks of `needed`."""
    rank = len(needed.dimensions)
    number = np.zeros((1,) * (len(mesh.axes) + rank), dtype=np.int64)
    inside = np.ones_like(number, dtype=np.bool_)
    for index, dimension in enumerate(needed.dimensions):
        at = positions(dimension, mesh)
        at = at.reshape(along(at.shape, index, rank))
        inside = inside & (at >= 0) & (at < dimension.extent)
        number = number * dimension.extent + at
    brought = np.ones_like(inside)
    remaining = number
    for dimension in reversed(delivered.dimensions):
        remaining, at = np.divmod(remaining, max(1, dimension.extent))
        starts = block_starts(dimension, mesh)[(..., *(None,) * rank)]
        brought = brought & (at >= starts) & (at < starts + dimension.block)
    needing = _at_index_zero(needed.root, mesh, rank)
    having = _at_index_zero(delivered.root, mesh, rank)
    return inside & needing & ~(brought & having)


def _at_index_zero(axes: Iterable[str], mesh: Mesh, rank: int) -> NDArray[np.bool_]:
    """True for the cores at index 0 of all the axes, [mesh axes, 1 for each dimension]."""
    result = np.ones((1,) * (len(mesh.axes) + rank), dtype=np.bool_)
    for name in axes:
        shape = [1] * result.ndim
        shape[mesh.index(name)] = mesh.size(name)
        result = result & (np.arange(mesh.size(name)) == 0).reshape(shape)
    return result
