"""What the lines of a consumer need of a tensor, by classes of elements: a class is needed by the same lines.

A mesh axis belongs to one dimension at most, so what a core needs is what its row needs and its column needs. Rows and
columns have classes each; elements of one class also belong to the same block (docs/fabric.md, "Where words land").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.delivery_loops import classes_of_lines, lines_of_classes, owners_in_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding, Side

    Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SideNeeds:
    """What the lines of one side, rows or columns, need.

    Attributes:
        classes: Class of each element, [elements], int32.
        owner: Number of the block that a class belongs to, counting the blocks of this side alone; -1 where no line needs it.
        block: Block of each line.
        starts: Where the lines of a class begin in `lines`, [classes + 1].
        lines: Those that need a class, rising.
        line_starts: Where the classes of a line begin in `line_classes`, [lines + 1].
        line_classes: Those that a line needs.
    """

    classes: NDArray[np.int32]
    owner: Indices
    block: Indices
    starts: Indices
    lines: NDArray[np.int32]
    line_starts: Indices
    line_classes: NDArray[np.int32]

    @property
    def count(self) -> int:
        """Lines."""
        return len(self.block)

    @property
    def blocks(self) -> int:
        """Blocks of this side."""
        return int(self.block.max()) + 1


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """One dimension, seen from one side.

    Attributes:
        position: Of the dimension.
        classes: Class of each index, [extent]; None where there is one class.
        first: First digit of the lines that need a class.
        last: Last digit; less than the first where none does.
        owner: Digit of the lines that own a class; -1 for none.
        digits: Digit of each line.
        size: Digits.
    """

    position: int
    classes: Indices | None
    first: Indices
    last: Indices
    owner: Indices
    digits: Indices
    size: int


def side_needs(sharding: Sharding, mesh: Mesh, side: Side) -> SideNeeds:
    """Classes of all elements for the lines of one side.

    Raises:
        ValueError: Where blocks of a dimension that is cut along rows and columns at once overlap.
    """
    lines = mesh.height if side == "rows" else mesh.width
    cuts = [
        cut
        for position, dimension in enumerate(sharding.dimensions)
        if (cut := _cut(position, dimension, mesh, side)) is not None
    ]
    shape = sharding.shape
    classes: NDArray[np.int32] = np.zeros((1,) * len(shape), np.int32)
    strides = np.ones(len(cuts), np.int64)
    owner, count = np.zeros(1, np.int64), 1
    block, blocks = np.zeros(lines, np.int64), 1
    for number, cut in enumerate(cuts):
        strides[number] = count
        if cut.classes is not None:
            along = [1] * len(shape)
            along[cut.position] = shape[cut.position]
            classes = classes + (cut.classes * count).astype(np.int32).reshape(along)
        both = cut.owner[:, None] * blocks + owner[None, :]
        owner = np.where((cut.owner[:, None] < 0) | (owner[None, :] < 0), -1, both).ravel()
        block = block + cut.digits * blocks
        count, blocks = count * len(cut.first), blocks * cut.size
    line_starts, line_classes = _classes_by_line(cuts, strides, lines)
    starts, by_class = lines_of_classes(line_starts, line_classes, count)
    everywhere = np.ascontiguousarray(np.broadcast_to(classes, shape)).reshape(-1)
    return SideNeeds(everywhere, owner, block, starts, by_class, line_starts, line_classes)


def _classes_by_line(cuts: list[_Cut], strides: Indices, lines: int) -> tuple[Indices, NDArray[np.int32]]:
    """For each line the classes that it needs: every combination of those of its digits."""
    most = max((cut.size for cut in cuts), default=0)
    digits = np.array([cut.digits for cut in cuts], np.int64).reshape(len(cuts), lines)
    starts = np.zeros((len(cuts), most + 1), np.int64)
    lists = []
    begin = 0
    for number, cut in enumerate(cuts):
        counts = np.zeros(cut.size + 1, np.int64)
        some = cut.last >= cut.first
        np.add.at(counts, cut.first[some], 1)
        np.subtract.at(counts, cut.last[some] + 1, 1)
        ends = begin + np.cumsum(np.cumsum(counts)[:-1])
        starts[number, 0], starts[number, 1 : cut.size + 1] = begin, ends
        order = np.repeat(np.flatnonzero(some), (cut.last - cut.first + 1)[some])
        each = cut.first[order] + np.arange(len(order)) - np.searchsorted(order, order)
        lists.append(order[np.argsort(each, kind="stable")])
        begin = int(ends[-1])
    members = np.concatenate(lists) if lists else np.zeros(0, np.int64)
    return classes_of_lines(digits, starts, members, strides, lines)


def _cut(position: int, dimension: DimensionSharding, mesh: Mesh, side: Side) -> _Cut | None:
    """The dimension as the lines of one side see it; None where they need all of it, or the other side says which part."""
    here, weights = _axes(dimension, mesh, side)
    other = math.prod(mesh.size(name) for name in dimension.axes) // math.prod(size for _, size in here)
    if not here and (dimension.axes or side == "columns"):
        return None  # what no core needs of a dimension that is not cut counts for rows
    size = math.prod(extent for _, extent in here)
    digits = np.zeros(mesh.height if side == "rows" else mesh.width, np.int64)
    for name, extent in here:
        digits = digits * extent + mesh.coordinate(name).reshape(-1)
    if other > 1:
        return _part_of_plain(position, dimension, here, weights, digits)
    if dimension.plain and size * dimension.block >= dimension.extent:
        numbers = np.arange(-(-dimension.extent // dimension.block))
        classes = np.arange(dimension.extent) // dimension.block if len(numbers) > 1 else None
        return None if not here else _Cut(position, classes, numbers, numbers, numbers, digits, size)
    starts = dimension.starts(np.arange(size))
    first, last, owner = owners_in_blocks(starts, dimension.block, dimension.extent)
    keys, classes = np.unique((first * (size + 1) + last + 1) * (size + 1) + owner + 1, return_inverse=True)
    rest, owned = np.divmod(keys, size + 1)
    firsts, lasts = np.divmod(rest, size + 1)
    return _Cut(position, classes, firsts, lasts - 1, owned - 1, digits, size)


def _axes(dimension: DimensionSharding, mesh: Mesh, side: Side) -> tuple[list[tuple[str, int]], list[int]]:
    """The axes of the dimension on this side, and how much each counts in the number of a block."""
    axes, weights, weight = [], [], 1
    for name in reversed(dimension.axes):
        axis = mesh.axes[mesh.index(name)]
        if axis.side == side:
            axes.append((name, axis.size))
            weights.append(weight)
        weight *= axis.size
    return axes[::-1], weights[::-1]


def _part_of_plain(
    position: int,
    dimension: DimensionSharding,
    here: list[tuple[str, int]],
    weights: list[int],
    digits: Indices,
) -> _Cut:
    """A dimension cut along both sides: each element lies in one block, whose number both sides count together."""
    if not dimension.plain:
        raise ValueError(f"blocks of dimension {position} overlap, and it is cut along rows and columns")
    blocks = np.arange(dimension.extent) // dimension.block
    classes = np.zeros(dimension.extent, np.int64)
    for (_, size), weight in zip(here, weights, strict=True):
        classes = classes * size + blocks // weight % size
    numbers = np.arange(math.prod(size for _, size in here))
    return _Cut(position, classes, numbers, numbers, numbers, digits, len(numbers))
