"""Tensors cut into blocks, one array for all cores, and put together again.

The *blocks* of a tensor are one array: the axes of the mesh in order, then the dimensions of a core's padded block.
Along a mesh axis on which all cores hold the same, the array has size 1: replication costs nothing, and a kernel sees
in the shape alone along which axes an operand differs. Blocks may share memory with the tensor and are read-only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from wsec.compiler.sharding import parts
from wsec.runtime.element_types import Array, poison

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding


def scatter(tensor: Array, sharding: Sharding, mesh: Mesh, fill: Any) -> Array:
    """Every core's block of the tensor.

    Args:
        tensor: Any shape with as many elements as the sharding's view.
        sharding: What each core holds.
        mesh: The cores.
        fill: What stands outside the extents of the view.

    Returns:
        Blocks, [mesh axes, block dimensions]; `root` is left to the reader: all indices of such an axis see the same.

    Raises:
        ValueError: The tensor has another number of elements than the view.
        KeyError: The sharding names an axis that the mesh has not.
    """
    extended = tensor.reshape(sharding.shape)
    origin: list[slice] = []
    steps: list[int] = []
    for position, dimension in enumerate(sharding.dimensions):
        extended, first, step = _linear(extended, position, dimension, parts(dimension, mesh), fill)
        origin.append(slice(first, None))
        steps.append(step)
    shape = [1] * len(mesh.axes)
    strides = [0] * len(mesh.axes)
    for dimension, step, stride in zip(sharding.dimensions, steps, extended.strides, strict=True):
        distance = step * stride
        for name in reversed(dimension.axes):
            axis = mesh.index(name)
            shape[axis] = mesh.size(name)
            strides[axis] += distance
            distance *= mesh.size(name)
    blocks: Array = as_strided(
        extended[tuple(origin)],
        shape=(*shape, *sharding.block_shape),
        strides=(*strides, *extended.strides),
        writeable=False,
    )
    return blocks


def gather(blocks: Array, sharding: Sharding, mesh: Mesh) -> Array:
    """The tensor that the blocks make up, in the shape of the sharding's view.

    Axes that no dimension names, be they replicated, root or partial, are read at index 0. Elements that no block
    holds are poison. Where blocks overlap, which no legal output does, the last one wins.

    Raises:
        ValueError: The blocks do not have the shape that the sharding says.
    """
    merged = _merge(blocks, sharding, mesh)
    if all(_covers(dimension, mesh) for dimension in sharding.dimensions):
        return merged[tuple(slice(extent) for extent in sharding.shape)]
    tensor = np.full(sharding.shape, poison(merged.dtype), dtype=merged.dtype)
    held = [_positions(dimension, mesh) for dimension in sharding.dimensions]
    inside = [(at >= 0) & (at < size) for at, size in zip(held, sharding.shape, strict=True)]
    targets = [at[kept] for at, kept in zip(held, inside, strict=True)]
    tensor[np.ix_(*targets)] = merged[np.ix_(*(np.flatnonzero(kept) for kept in inside))]
    return tensor


def block_starts(dimension: DimensionSharding, mesh: Mesh) -> NDArray[np.int64]:
    """First element, before clipping, of each core's block along one dimension, [mesh axes], 1 where it is the same."""
    starts = dimension.starts(np.arange(parts(dimension, mesh), dtype=np.int64))
    order = sorted(range(len(dimension.axes)), key=lambda i: mesh.index(dimension.axes[i]))
    sizes = [mesh.size(name) for name in dimension.axes]
    shape = [1] * len(mesh.axes)
    for name in dimension.axes:
        shape[mesh.index(name)] = mesh.size(name)
    return starts.reshape(sizes).transpose(order).reshape(shape)


def positions(dimension: DimensionSharding, mesh: Mesh) -> NDArray[np.int64]:
    """Global position of every element of each core's block along one dimension, [mesh axes, block]."""
    return block_starts(dimension, mesh)[..., None] + np.arange(dimension.block, dtype=np.int64)


def reach(dimension: DimensionSharding, mesh: Mesh) -> int:
    """Elements from the first that any block or the extent begins with to the last that one of them ends with."""
    starts = dimension.starts(np.arange(parts(dimension, mesh), dtype=np.int64))
    return max(dimension.extent, int(starts.max()) + dimension.block) - min(0, int(starts.min()))


def validity(sharding: Sharding, mesh: Mesh) -> NDArray[np.bool_]:
    """True for the elements of each core's block that lie inside the extents; broadcastable to the blocks."""
    rank = len(sharding.dimensions)
    valid = np.ones((1,) * (len(mesh.axes) + rank), dtype=np.bool_)
    for index, dimension in enumerate(sharding.dimensions):
        at = positions(dimension, mesh)
        inside = (at >= 0) & (at < dimension.extent)
        if not inside.all():
            valid = valid & inside.reshape(along(inside.shape, index, rank))
    return valid


def along(shape: tuple[int, ...], dimension: int, rank: int) -> tuple[int, ...]:
    """The shape [mesh axes, block] of something said about one dimension, made broadcastable to blocks."""
    return (*shape[:-1], *(shape[-1] if index == dimension else 1 for index in range(rank)))


def _linear(
    tensor: Array, position: int, dimension: DimensionSharding, count: int, fill: Any
) -> tuple[Array, int, int]:
    """A tensor that holds all blocks of one dimension at equal steps, the first element of block 0, and the step."""
    starts = dimension.starts(np.arange(count, dtype=np.int64))
    if dimension.divisor == 1 or count == 1:
        low, high = int(starts.min()), int(starts.max()) + dimension.block
        first = int(starts[0])
        step = dimension.step if dimension.divisor == 1 else 0
        padded, added = _pad(tensor, position, max(0, -low), max(0, high - dimension.extent), fill)
        return padded, first + added, step
    index = starts[:, None] + np.arange(dimension.block, dtype=np.int64)
    inside = ((index >= 0) & (index < dimension.extent)).ravel()
    shape = (*tensor.shape[:position], index.size, *tensor.shape[position + 1 :])
    spread = np.full(shape, fill, dtype=tensor.dtype)
    prefix: tuple[Any, ...] = (slice(None),) * position
    spread[(*prefix, inside)] = np.take(tensor, index.ravel()[inside], axis=position)
    return spread, 0, dimension.block


def _pad(tensor: Array, position: int, before: int, after: int, fill: Any) -> tuple[Array, int]:
    if before == 0 and after == 0:
        return tensor, 0
    extent = tensor.shape[position]
    shape = (*tensor.shape[:position], before + extent + after, *tensor.shape[position + 1 :])
    padded = np.empty(shape, dtype=tensor.dtype)
    prefix = (slice(None),) * position
    padded[(*prefix, slice(before))] = fill
    padded[(*prefix, slice(before, before + extent))] = tensor
    padded[(*prefix, slice(before + extent, None))] = fill
    return padded, before


def _merge(blocks: Array, sharding: Sharding, mesh: Mesh) -> Array:
    """The blocks side by side: [parts * block] for each dimension."""
    axes = len(mesh.axes)
    named = [mesh.index(name) for dimension in sharding.dimensions for name in dimension.axes]
    at_root = blocks[tuple(slice(None) if axis in named else slice(1) for axis in range(axes))]
    at_root = np.broadcast_to(
        at_root,
        (*(mesh.shape[axis] if axis in named else 1 for axis in range(axes)), *sharding.block_shape),
    )
    order: list[int] = []
    for index, dimension in enumerate(sharding.dimensions):
        order += [*(mesh.index(name) for name in dimension.axes), axes + index]
    rest = [axis for axis in range(axes) if axis not in named]
    shape = tuple(parts(dimension, mesh) * dimension.block for dimension in sharding.dimensions)
    return at_root.transpose([*rest, *order]).reshape(shape)


def _covers(dimension: DimensionSharding, mesh: Mesh) -> bool:
    return dimension.plain and parts(dimension, mesh) * dimension.block >= dimension.extent


def _positions(dimension: DimensionSharding, mesh: Mesh) -> NDArray[np.int64]:
    starts = dimension.starts(np.arange(parts(dimension, mesh), dtype=np.int64))
    return (starts[:, None] + np.arange(dimension.block, dtype=np.int64)).ravel()
