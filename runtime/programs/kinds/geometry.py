"""Which elements of their blocks the cores of a kernel read, by core, and what is said of each core in a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from wsec.runtime.blocks import block_starts
from wsec.runtime.programs.kinds.tiles import row_major
from wsec.runtime.simulator.instructions import CopyListed, WordLists

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wsec.compiler.plan import Kernel
    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding
    from wsec.runtime.programs.context import Block, KernelContext
    from wsec.runtime.programs.kinds.tiles import Tile
    from wsec.runtime.simulator.instructions import Instruction


def sharding_of(kernel: Kernel, role: str) -> Sharding:
    """Of the input with this role. Raises KeyError where the kernel has none."""
    return {item.role: item.sharding for item in kernel.inputs}[role]


def by_core(values: NDArray[Any], mesh: Mesh) -> NDArray[Any]:
    """Values [mesh axes, ...], 1 along axes on which cores agree, as [height, width, ...]."""
    rows = [index for index, axis in enumerate(mesh.axes) if axis.side == "rows"]
    columns = [index for index, axis in enumerate(mesh.axes) if axis.side == "columns"]
    own = values.shape[len(mesh.axes) :]
    full = np.broadcast_to(values, (*mesh.shape, *own))
    order = (*rows, *columns, *range(len(mesh.axes), values.ndim))
    return full.transpose(order).reshape(mesh.height, mesh.width, *own)


def table(context: KernelContext, values: NDArray[Any], labels: Sequence[str]) -> Tile:
    """A tile that holds these values [mesh axes, one dimension a label]; as little as tells the cores apart."""
    mesh = context.kernel.mesh
    own = values.shape[len(mesh.axes) :]
    laid = by_core(values, mesh).astype(np.float32).reshape(mesh.height, mesh.width, -1)
    first = laid[:1, :1]
    same = first if np.array_equal(np.broadcast_to(first, laid.shape), laid) else laid
    sizes = dict(zip(labels, own, strict=True))
    if same.shape[:2] == (1, 1) and (same == same[0, 0, 0]).all():
        return row_major(context.constant(float(same[0, 0, 0])), {})
    return row_major(context.table(same), sizes)


def starts(dimension: DimensionSharding, mesh: Mesh) -> NDArray[np.int64]:
    """First element of each core's block, [mesh axes], 1 where it is the same."""
    return block_starts(dimension, mesh)


def positions(dimension: DimensionSharding, mesh: Mesh) -> NDArray[np.int64]:
    """Global position of every element of each core's block, [mesh axes, block]."""
    return starts(dimension, mesh)[..., None] + np.arange(dimension.block, dtype=np.int64)


def local(dimension: DimensionSharding, mesh: Mesh, wanted: Places, cared: NDArray[np.bool_]) -> Places:
    """Places in each core's block of global positions [mesh axes, count], with what its fill stands for; -1 for others.

    Args:
        dimension: Of the block that is read.
        mesh: The cores.
        wanted: Position for each element of a block that is made.
        cared: Where it matters, [mesh axes, count]; elsewhere it may be anything.

    Raises:
        ValueError: A core does not hold an element that it needs.
    """
    place = wanted - starts(dimension, mesh)[..., None]
    held = (place >= 0) & (place < dimension.block)
    needed = (wanted >= 0) & (wanted < dimension.extent) & cared
    if (needed & ~held).any():
        raise ValueError(f"a block of {dimension.block} elements does not hold all that its core reads")
    return np.where(held, place, -1)


Places = NDArray[np.int64]


def inside(dimension: DimensionSharding, mesh: Mesh) -> NDArray[np.bool_]:
    """Which elements of each core's block are in the extent, [mesh axes, block]."""
    at = positions(dimension, mesh)
    return (at >= 0) & (at < dimension.extent)


@dataclass(frozen=True, slots=True)
class Run:
    """Elements `[at, at + size)` of a dimension are read from places `first`, `first + step` ..., alike on all cores."""

    at: int
    size: int
    first: int
    step: int


def run_of(places: NDArray[np.int64]) -> Run | None:
    """The run of places [mesh axes, count], -1 on both sides of it; None where there is none for all cores."""
    rows = places.reshape(-1, places.shape[-1])
    kept = np.flatnonzero(rows[0] >= 0)
    if kept.size == 0 or (rows != rows[0]).any() or kept[-1] - kept[0] + 1 != kept.size:
        return None
    read = rows[0][kept]
    step = int(read[1] - read[0]) if read.size > 1 else 1
    if (np.diff(read) != step).any():
        return None
    return Run(int(kept[0]), int(kept.size), int(read[0]), step)


def copy_listed(
    context: KernelContext,
    source: tuple[int, Sequence[int]],
    target: tuple[int, Sequence[int]],
    places: Sequence[NDArray[np.int64]],
) -> list[Instruction]:
    """Copies elements one by one, where cores read differently.

    Args:
        context: Takes the lists.
        source: Address, and words from one element to the next, by dimension.
        target: Likewise.
        places: For each dimension of the target, where it is read from [mesh axes, count]; -1: left as it is.
    """
    mesh = context.kernel.mesh
    rank = len(places)
    read = np.full((1,) * (len(mesh.axes) + rank), source[0], np.int64)
    written = np.full((1,) * rank, target[0], np.int64)
    inside = np.ones(read.shape, np.bool_)
    for index, place in enumerate(places):
        shape = (*place.shape[:-1], *(place.shape[-1] if at == index else 1 for at in range(rank)))
        read = read + place.reshape(shape) * source[1][index]
        inside = inside & (place >= 0).reshape(shape)
        along = np.arange(place.shape[-1]) * target[1][index]
        written = written + along.reshape([-1 if at == index else 1 for at in range(rank)])
    taken = by_core(np.broadcast_to(inside, np.broadcast_shapes(inside.shape, written.shape)), mesh)
    taken = taken.reshape(mesh.height * mesh.width, -1)
    counts = np.concatenate(([0], np.cumsum(taken.sum(axis=1))))
    flat = by_core(np.broadcast_to(read, np.broadcast_shapes(read.shape, written.shape)), mesh)
    sources = flat.reshape(taken.shape)[taken]
    targets = np.broadcast_to(written.reshape(-1), taken.shape)[taken]
    lists = [WordLists(counts, addresses.astype(np.int32)) for addresses in (sources, targets)]
    return [CopyListed(*(context.word_list(item) for item in lists))]


def dense(block: Block) -> list[int]:
    """Words from one element of a block to the next, by dimension."""
    strides, stride = [], 1
    for size in reversed(block.shape):
        strides.append(stride)
        stride *= size
    return strides[::-1]
