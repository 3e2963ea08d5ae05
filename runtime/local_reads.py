"""Reading a core's own block at computed positions, for all cores at once, without a loop over cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import as_strided

from wsec.runtime.blocks import block_starts
from wsec.runtime.element_types import Array, poison

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from wsec.compiler.sharding import DimensionSharding, Mesh


def windows(blocks: Array, axis: int, *, count: int, window: int, stride: int, dilation: int) -> Array:
    """A view of the sliding windows along one axis.

    Returns:
        `blocks` with that axis replaced by `count` positions and a last axis of `window` taps added: position `l`,
        tap `r` is element `l * stride + r * dilation` of the block. What the block is too short for is poison.
    """
    blocks = resized(blocks, axis, (count - 1) * stride + (window - 1) * dilation + 1, at_least=True)
    step = blocks.strides[axis]
    shape = (*blocks.shape[:axis], count, *blocks.shape[axis + 1 :], window)
    strides = (*blocks.strides[:axis], step * stride, *blocks.strides[axis + 1 :], step * dilation)
    view: Array = as_strided(blocks, shape=shape, strides=strides, writeable=False)
    return view


def begun_at(blocks: Array, axis: int, begin: NDArray[np.int64], span: int, mesh_rank: int) -> Array:
    """Blocks of `span` elements along an axis that begin at each core's local position `begin`, [mesh axes].

    What a core's block does not hold is poison. Where all begin at 0, as in a consistent record, this is a view.
    """
    if not begin.any():
        return resized(blocks, axis, span, at_least=True)
    return take(blocks, axis, begin[..., None] + np.arange(span, dtype=np.int64), mesh_rank)


def resized(blocks: Array, axis: int, size: int, *, at_least: bool = False) -> Array:
    """The blocks with exactly (or at least) `size` elements along an axis: cut off, or filled up with poison."""
    present = blocks.shape[axis]
    if present == size or (at_least and present > size):
        return blocks
    prefix = (slice(None),) * axis
    if present > size:
        return blocks[(*prefix, slice(size))]
    longer = np.full(
        (*blocks.shape[:axis], size, *blocks.shape[axis + 1 :]), poison(blocks.dtype), blocks.dtype
    )
    longer[(*prefix, slice(present))] = blocks
    return longer


def take(blocks: Array, axis: int, local: NDArray[np.int64], mesh_rank: int) -> Array:
    """Each core's block read at that core's local positions along one axis.

    Args:
        blocks: [mesh axes, block dimensions].
        axis: Which axis of the blocks is read.
        local: [mesh axes, any], positions in the block; size 1 along mesh axes on which all cores read alike. A
            position outside the block reads poison.
        mesh_rank: Number of mesh axes.

    Returns:
        The blocks with `axis` replaced by the last axes of `local`.
    """
    index_shape = local.shape[mesh_rank:]
    mesh_axes = tuple(range(mesh_rank))
    varying = [position for position in mesh_axes if local.shape[position] > 1]
    outside = (local < 0) | (local >= blocks.shape[axis])
    squeezed = local.reshape((*(local.shape[position] for position in varying), *index_shape))
    moved = np.moveaxis(blocks, [*varying, axis], range(len(varying) + 1))
    index: list[Any] = []
    for place, position in enumerate(varying):
        size = blocks.shape[position]
        steps = (
            np.arange(local.shape[position]) if size > 1 else np.zeros(local.shape[position], dtype=np.int64)
        )
        index.append(steps.reshape([-1 if at == place else 1 for at in range(squeezed.ndim)]))
    last = max(0, blocks.shape[axis] - 1)
    read = np.asarray(moved[(*index, np.clip(squeezed, 0, last))])
    result = _restore(read, varying, axis, len(index_shape), mesh_rank)
    if not outside.any():
        return result
    lost = outside.reshape(_spread(outside.shape, axis, mesh_rank, result.ndim))
    return np.where(lost, np.asarray(poison(result.dtype), result.dtype), result)


def read_dimension(
    blocks: Array,
    dimension: int,
    held: DimensionSharding,
    wanted: NDArray[np.int64],
    mesh: Mesh,
    *,
    outside: Any = 0,
) -> Array:
    """One dimension of the blocks read at global positions.

    Args:
        blocks: [mesh axes, block dimensions].
        dimension: Which block dimension is read.
        held: How that dimension of the tensor lies on the mesh.
        wanted: Global positions, [mesh axes, count].
        mesh: The cores.
        outside: What stands for positions outside the extent.

    Returns:
        The blocks with `count` elements along the dimension; poison for a position that the core does not hold.
    """
    axis = len(mesh.axes) + dimension
    local = wanted - block_starts(held, mesh)[..., None]
    inside = (wanted >= 0) & (wanted < held.extent)
    result = _read_alike(blocks, axis, local)
    if result is None:
        result = take(blocks, axis, np.where(inside, local, 0), len(mesh.axes))
    if inside.all():
        return result
    valid = inside.reshape(_spread(inside.shape, axis, len(mesh.axes), result.ndim))
    return np.where(valid, result, np.asarray(outside, dtype=result.dtype))


def _read_alike(blocks: Array, axis: int, local: NDArray[np.int64]) -> Array | None:
    """A view, where all cores read the same positions at equal steps; else None."""
    rows = local.reshape(-1, local.shape[-1])
    first = rows[0]
    if first.size == 0 or (rows != first).any():
        return None
    step = int(first[1] - first[0]) if first.size > 1 else 1
    if step == 0 or (np.diff(first) != step).any():
        return None
    low, high = int(first.min()), int(first.max())
    if low < 0:
        return None
    longer = resized(blocks, axis, high + 1, at_least=True)
    section = slice(low, high + 1, abs(step))
    view = longer[(*(slice(None),) * axis, section)]
    return np.flip(view, axis) if step < 0 else view


def _restore(read: Array, varying: list[int], axis: int, index_rank: int, mesh_rank: int) -> Array:
    """[varying mesh axes, index axes, the rest] back to [mesh axes, block dimensions]."""
    lead = len(varying)
    rest_mesh = mesh_rank - lead
    rest = list(range(lead + index_rank, read.ndim))
    mesh_places = iter(rest[:rest_mesh])
    order = [varying.index(at) if at in varying else next(mesh_places) for at in range(mesh_rank)]
    before = axis - mesh_rank
    blocks = rest[rest_mesh:]
    return read.transpose([*order, *blocks[:before], *range(lead, lead + index_rank), *blocks[before:]])


def _spread(shape: tuple[int, ...], axis: int, mesh_rank: int, rank: int) -> tuple[int, ...]:
    """The shape [mesh axes, index axes] made broadcastable to blocks whose index axes begin at `axis`."""
    index_shape = shape[mesh_rank:]
    after = rank - axis - len(index_shape)
    return (*shape[:mesh_rank], *(1,) * (axis - mesh_rank), *index_shape, *(1,) * after)
