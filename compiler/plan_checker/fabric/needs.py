"""What the cores of a consumer need of a tensor: for each element, the block it belongs to, and the lines that need it.

A mesh axis cuts one dimension at most, so each dimension has its own tables, and their numbers add up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.holders import at_first, block_numbers, coordinates, extents
from wsec.compiler.plan_checker.fabric.landing import owners

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding

    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]


_SHIFT = 1 << 31


@dataclass(frozen=True, slots=True, eq=False)
class Needs:
    """Of one input of a consumer, or what a link brings to it.

    Attributes:
        core_block: Number of the block of each core, -1 for one that needs nothing: [height, width].
        blocks: How many there are.
        word_block: Block that each element belongs to, -1 for one that is needed nowhere: [elements].
        row_part: Number of the set of rows that each row is in: all rows on which a block lies are one set. -1 for rows on
            which no core needs anything: [height].
        column_part: Likewise: [width].
        block_row_part: Set of rows on which each block lies: [blocks].
        block_column_part: Likewise.
    """

    core_block: Numbers
    blocks: int
    word_block: Numbers
    row_part: Numbers
    column_part: Numbers
    block_row_part: Numbers
    block_column_part: Numbers


def needs_of(sharding: Sharding, mesh: Mesh) -> Needs:
    """What the cores of a mesh need of a tensor that is sharded so."""
    shape = extents(mesh)
    numbers = np.zeros(shape, np.int64)
    tables: list[Integers] = []
    blocks = 1
    for dimension in reversed(sharding.dimensions):
        own = block_numbers(dimension, mesh)
        numbers = numbers + blocks * own
        owner, _, _ = _owners(dimension, mesh)
        tables.insert(0, np.where(owner >= 0, blocks * owner.astype(np.int64), -(1 << 40)))
        blocks *= parts_of(dimension, mesh)
    needing = at_first(mesh, sharding.root)
    rows, columns = (_parts(sharding, mesh, side) for side in ("rows", "columns"))
    block_rows, block_columns = np.zeros(blocks, np.int32), np.zeros(blocks, np.int32)
    block_rows[numbers[needing]] = np.broadcast_to(rows[:, None], shape)[needing]
    block_columns[numbers[needing]] = np.broadcast_to(columns[None, :], shape)[needing]
    return Needs(
        core_block=np.where(needing, numbers, -1).astype(np.int32),
        blocks=blocks,
        word_block=np.maximum(_sums(tables), -1).astype(np.int32),
        row_part=rows,
        column_part=columns,
        block_row_part=block_rows,
        block_column_part=block_columns,
    )


def line_needs(sharding: Sharding, mesh: Mesh, side: str) -> tuple[Numbers, NDArray[np.int16]]:
    """For each element a number of the set of rows (or columns) on which some core needs it, and those sets.

    Which rows and which columns is all that is said. Where blocks of one dimension that is cut along both sides overlap, an
    element is needed by fewer cores than lie on both, and what `send_on` counts is more than what is sent: such a link may be
    found to take too long, never too short. The compiler cuts no dimension so.

    Returns:
        Numbers [elements], of no meaning for elements that are needed nowhere; and for each set how many of the rows before
        each one it has: [sets, rows + 1].
    """
    index = {name: at for name, (own, at) in coordinates(mesh).items() if own == side}
    lines = extents(mesh)[0 if side == "rows" else 1]
    sets = np.ones((1, lines), np.bool_)
    for name in sharding.root:
        if name in index:
            sets = sets & (index[name] == 0)
    tables = []
    for dimension in sharding.dimensions:
        _, first, last = _owners(dimension, mesh)
        if not any(name in index for name in dimension.axes):
            tables.append(np.zeros(dimension.extent, np.int64))
            continue
        pairs, key = np.unique((first.astype(np.int64) + 1) * _SHIFT + last + 1, return_inverse=True)
        own = _lines_of_blocks(dimension, mesh, index, lines)
        counts = np.concatenate([np.zeros((1, lines), np.int64), np.cumsum(own, axis=0)])
        needed = counts[pairs % _SHIFT] > counts[np.maximum(pairs // _SHIFT - 1, 0)]
        tables = [table * len(pairs) for table in tables]
        tables.append(key.reshape(-1))
        sets = (sets[:, None, :] & needed[None, :, :]).reshape(-1, lines)
    before = np.zeros((len(sets), lines + 1), np.int16)
    np.cumsum(sets, axis=1, out=before[:, 1:])
    return _sums(tables).astype(np.int32), before


def parts_of(dimension: DimensionSharding, mesh: Mesh) -> int:
    """How many blocks a dimension is cut in."""
    sizes = {axis.name: axis.size for axis in mesh.axes}
    return int(np.prod([sizes[name] for name in dimension.axes], dtype=np.int64))


def _owners(dimension: DimensionSharding, mesh: Mesh) -> tuple[Numbers, Numbers, Numbers]:
    numbers = np.arange(parts_of(dimension, mesh), dtype=np.int64)
    starts = (numbers * dimension.step + dimension.offset) // dimension.divisor
    owner, first, last = (np.empty(dimension.extent, np.int32) for _ in range(3))
    owners(starts, dimension.block, dimension.extent, owner, first, last)
    return owner, first, last


def _lines_of_blocks(
    dimension: DimensionSharding, mesh: Mesh, index: dict[str, Integers], lines: int
) -> NDArray[np.bool_]:
    """Whether each block lies on each row (or column): [blocks, lines]."""
    sizes = [axis.size for name in dimension.axes for axis in mesh.axes if axis.name == name]
    on = np.ones((parts_of(dimension, mesh), lines), np.bool_)
    for name, at in zip(dimension.axes, np.indices(sizes).reshape(len(sizes), -1), strict=True):
        if name in index:
            on &= at[:, None] == index[name][None, :]
    return on


def _parts(sharding: Sharding, mesh: Mesh, side: str) -> Numbers:
    """Numbers of the sets of rows (or columns) that differ in no axis that cuts a dimension; -1 off the root."""
    index = {name: at for name, (own, at) in coordinates(mesh).items() if own == side}
    sizes = {axis.name: axis.size for axis in mesh.axes}
    part = np.zeros(extents(mesh)[0 if side == "rows" else 1], np.int32)
    for dimension in sharding.dimensions:
        for name in dimension.axes:
            if name in index:
                part = part * sizes[name] + index[name].astype(np.int32)
    for name in sharding.root:
        if name in index:
            part[index[name] != 0] = -1
    return part


def _sums(tables: Sequence[Integers]) -> Integers:
    """The sum of one number of each table, for all of their combinations in row-major order."""
    total = np.zeros(1, np.int64)
    for table in tables:
        total = (total[:, None] + table[None, :]).reshape(-1)
    return total
