"""Which words cores need and hold: elements by row-major number, and where they lie in a block.

Cores are those of a kernel's rectangle, by row and then column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.sharding import block_indices
from wsec.runtime.programs.ragged import Ragged, ragged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding


@dataclass(frozen=True, slots=True, eq=False)
class BlockWords:
    """The elements in the blocks of all cores, inside the extents.

    Attributes:
        elements: For each core the numbers of its elements, ascending.
        places: The same elements as places in the padded block, row-major.
        total: Elements of the tensor.
    """

    elements: Ragged
    places: Ragged
    total: int

    def keys(self) -> NDArray[np.int64]:
        """The number of the core times `total`, plus the element, ascending."""
        return self.elements.rows * self.total + self.elements.values


def block_words(sharding: Sharding, mesh: Mesh, *, once: bool = False) -> BlockWords:
    """The elements of each core's block.

    Along `root` axes only the cores at index 0 count; with `once` also along axes that the sharding does not name: who holds
    a tensor, each element once.
    """
    cores, rank = mesh.height * mesh.width, len(sharding.dimensions)
    number = np.zeros((cores, *(1,) * rank), np.int64)
    there = at_index_zero(mesh, _single(sharding, mesh, once=once)).reshape(-1, *(1,) * rank)
    for index, dimension in enumerate(sharding.dimensions):
        starts = dimension.starts(_by_core(block_indices(dimension, mesh), mesh))
        at = starts[:, None] + np.arange(dimension.block)
        at = at.reshape(cores, *(1,) * index, dimension.block, *(1,) * (rank - index - 1))
        there = there & (at >= 0) & (at < dimension.extent)
        number = number * dimension.extent + np.where((at >= 0) & (at < dimension.extent), at, 0)
    shape = (cores, math.prod(sharding.block_shape))
    core, place = np.nonzero(np.broadcast_to(there, (cores, *sharding.block_shape)).reshape(shape))
    values = np.broadcast_to(number, (cores, *sharding.block_shape)).reshape(shape)[core, place]
    elements = ragged(core, values, cores)
    return BlockWords(elements, elements.with_values(place), math.prod(sharding.shape))


def _single(sharding: Sharding, mesh: Mesh, *, once: bool) -> Iterable[str]:
    if not once:
        return sharding.root
    named = {name for dimension in sharding.dimensions for name in dimension.axes}
    return [axis.name for axis in mesh.axes if axis.name not in named]


def at_index_zero(mesh: Mesh, axes: Iterable[str]) -> NDArray[np.bool_]:
    """True for the cores at index 0 of all these axes, [cores]."""
    result = np.ones((mesh.height, mesh.width), np.bool_)
    for name in axes:
        result = result & (mesh.coordinate(name) == 0)
    return result.reshape(-1)


def _by_core(values: NDArray[np.int64], mesh: Mesh) -> NDArray[np.int64]:
    return np.broadcast_to(values, (mesh.height, mesh.width)).reshape(-1)


@dataclass(frozen=True, slots=True, eq=False)
class Owners:
    """Which block each element belongs to, and which each core needs.

    Attributes:
        of_element: int64 [elements], a number for the block; -1 for an element that lies in none.
        of_core: int64 [cores], the same for each core's own block; -1 where it needs none, off the root.
    """

    of_element: NDArray[np.int64]
    of_core: NDArray[np.int64]


def owners(sharding: Sharding, mesh: Mesh) -> Owners:
    """Elements belong to the block that contains them and whose middle, before clipping, is nearest; the lower in a tie."""
    of_element = np.zeros(1, np.int64)
    of_core = np.zeros(mesh.height * mesh.width, np.int64)
    for dimension in sharding.dimensions:
        index = _by_core(block_indices(dimension, mesh), mesh)
        count = int(index.max()) + 1
        block = _nearest_block(dimension, count)
        of_core = of_core * count + index
        joint = of_element[:, None] * count + block[None, :]
        of_element = np.where((of_element[:, None] < 0) | (block[None, :] < 0), -1, joint).reshape(-1)
    return Owners(of_element, np.where(at_index_zero(mesh, sharding.root), of_core, -1))


def _nearest_block(dimension: DimensionSharding, count: int) -> NDArray[np.int64]:
    """For each position of a dimension the number of its block, -1 where it lies in none; int64 [extent]."""
    starts = dimension.starts(np.arange(count, dtype=np.int64))
    nearest = np.full(dimension.extent, -1, np.int64)
    least = np.full(dimension.extent, np.iinfo(np.int64).max)
    for number, start in enumerate(starts.tolist()):
        at = np.arange(max(0, start), min(dimension.extent, start + dimension.block))
        distance = np.abs(2 * at + 1 - (2 * start + dimension.block))
        closer = distance < least[at]
        nearest[at[closer]] = number
        least[at[closer]] = distance[closer]
    return nearest
