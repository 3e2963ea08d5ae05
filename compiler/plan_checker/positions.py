"""Where blocks begin, for every combination of the mesh axes that matter: small arrays, whatever the rectangle."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.sharding import DimensionSharding, Mesh

    Integers = NDArray[np.int64]


def axis_sizes(mesh: Mesh) -> dict[str, int]:
    """Size of each axis by name."""
    return {axis.name: axis.size for axis in mesh.axes}


def parts_of(dimension: DimensionSharding, mesh: Mesh) -> int:
    """How many blocks the dimension is cut in."""
    sizes = axis_sizes(mesh)
    return math.prod(sizes[name] for name in dimension.axes)


def holds_each_once(dimension: DimensionSharding, axes: tuple[str, ...], mesh: Mesh) -> bool:
    """Whether the blocks along these axes, of those that have more than one core, hold every element once."""
    sizes = axis_sizes(mesh)
    cutting = tuple(axis for axis in dimension.axes if sizes[axis] > 1)
    plain = dimension.plain and parts_of(dimension, mesh) * dimension.block >= dimension.extent
    return cutting == axes and plain


def coordinate(axis: str, space: tuple[str, ...], mesh: Mesh) -> Integers:
    """Index along `axis` for every point of the axes in `space`; zero where `axis` is not among them."""
    if axis not in space:
        return np.zeros((1,) * len(space), dtype=np.int64)
    size = axis_sizes(mesh)[axis]
    shape = tuple(size if name == axis else 1 for name in space)
    return np.arange(size, dtype=np.int64).reshape(shape)


def block_starts(dimension: DimensionSharding, space: tuple[str, ...], mesh: Mesh) -> Integers:
    """First element, not clipped, of the block at every point of `space`, which names all the dimension's axes."""
    sizes = axis_sizes(mesh)
    index = np.zeros((1,) * len(space), dtype=np.int64)
    for axis in dimension.axes:
        index = index * sizes[axis] + coordinate(axis, space, mesh)
    return np.asarray((index * dimension.step + dimension.offset) // dimension.divisor, dtype=np.int64)


def covers(
    have: DimensionSharding, need: DimensionSharding, mesh: Mesh
) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """None where on every core `have` holds all that `need` holds; else the two ranges of the first core missing some."""
    space = tuple(dict.fromkeys((*need.axes, *have.axes)))
    low, high = _clipped(need, space, mesh)
    start, stop = _clipped(have, space, mesh)
    low, high, start, stop = np.broadcast_arrays(low, high, start, stop)
    missing = (low < high) & ((start > low) | (stop < high))
    if not missing.any():
        return None
    at = np.unravel_index(int(missing.argmax()), missing.shape)
    return (int(low[at]), int(high[at])), (int(start[at]), int(stop[at]))


def _clipped(dimension: DimensionSharding, space: tuple[str, ...], mesh: Mesh) -> tuple[Integers, Integers]:
    starts = block_starts(dimension, space, mesh)
    return np.clip(starts, 0, dimension.extent), np.clip(starts + dimension.block, 0, dimension.extent)
