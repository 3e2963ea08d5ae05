"""Which cores of a kernel have which block: indices of blocks by rows and columns, from a mesh and a sharding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding

    Integers = NDArray[np.int64]


def coordinates(mesh: Mesh) -> dict[str, tuple[str, Integers]]:
    """For each axis its side, and the index along it of every row or column."""
    found = {}
    for side in ("rows", "columns"):
        axes = [axis for axis in mesh.axes if axis.side == side]
        sizes = [axis.size for axis in axes]
        grid = np.indices(sizes).reshape(len(sizes), -1) if sizes else np.zeros((0, 1), np.int64)
        for axis, index in zip(axes, grid, strict=True):
            found[axis.name] = (side, np.asarray(index, np.int64))
    return found


def extents(mesh: Mesh) -> tuple[int, int]:
    """Rows and columns of the rectangle."""
    along = {side: [axis.size for axis in mesh.axes if axis.side == side] for side in ("rows", "columns")}
    return int(np.prod(along["rows"], dtype=np.int64)), int(np.prod(along["columns"], dtype=np.int64))


def block_numbers(dimension: DimensionSharding, mesh: Mesh) -> Integers:
    """The block of every core along a dimension, [height, 1], [1, width], [height, width] or [1, 1]."""
    where = coordinates(mesh)
    sizes = {axis.name: axis.size for axis in mesh.axes}
    numbers = np.zeros((1, 1), np.int64)
    for name in dimension.axes:
        side, index = where[name]
        numbers = numbers * sizes[name] + (index[:, None] if side == "rows" else index[None, :])
    return numbers


def ranges(dimension: DimensionSharding, numbers: Integers) -> tuple[Integers, Integers]:
    """First elements of blocks and the ones behind their last, as far as they are inside the extent."""
    starts = (numbers * dimension.step + dimension.offset) // dimension.divisor
    return np.clip(starts, 0, dimension.extent), np.clip(starts + dimension.block, 0, dimension.extent)


def at_first(mesh: Mesh, axes: tuple[str, ...]) -> NDArray[np.bool_]:
    """Cores at index 0 of all these axes, [height, width]."""
    first = np.ones(extents(mesh), np.bool_)
    where = coordinates(mesh)
    for name in axes:
        side, index = where[name]
        first &= (index == 0)[:, None] if side == "rows" else (index == 0)[None, :]
    return first


def held_elements(sharding: Sharding, mesh: Mesh) -> Integers:
    """Elements that each core of a producer sends: of its block, at index 0 of axes that cut no dimension, [height, width]."""
    cutting = {axis for dimension in sharding.dimensions for axis in dimension.axes}
    first = at_first(mesh, tuple(axis.name for axis in mesh.axes if axis.name not in cutting))
    held = first.astype(np.int64)
    for dimension in sharding.dimensions:
        low, high = ranges(dimension, block_numbers(dimension, mesh))
        held = held * np.maximum(high - low, 0)
    return held
