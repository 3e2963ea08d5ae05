"""Annealing of a packing in columns of free width, in which any kernel may stand in any column near by; compiled.

A column stacks its kernels, each as high as the column's width makes it. A change costs a few additions, a thousand
times less than one of a slicing tree, so that hundreds to ten thousands of kernels find the columns in which they waste
least while every column fills its height to the last rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from wsec.compiler.native import compiled
from wsec.compiler.placement.random_numbers import draw, draw_exponential
from wsec.compiler.placement.shape_curves import NEVER

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOVES: Final = 30
"""Per cent of the changes that move one kernel; the others swap two."""

_WIDTHS: Final = 128
_STEP: Final = 3


class Columns(NamedTuple):
    """What a walk leaves as it is.

    Attributes:
        kind: Of each kernel; kernels of one kind have equal shapes.
        rows: Least height of each kind in a column of each width, `[kinds, widest column + 1]`.
        first: First column in which each kernel may stand; never falls from kernel to kernel.
        behind: First column behind those.
        low: First kernel that may stand in each column.
        high: First kernel behind those.
        height: Rows of each column.
        tile: The free rectangle in which each column is.
    """

    kind: NDArray[np.int64]
    rows: NDArray[np.int32]
    first: NDArray[np.int64]
    behind: NDArray[np.int64]
    low: NDArray[np.int64]
    high: NDArray[np.int64]
    height: NDArray[np.int64]
    tile: NDArray[np.int64]


class Packing(NamedTuple):
    """What a walk changes: the column of each kernel, the width of each column, and the rows it needs."""

    column: NDArray[np.int64]
    width: NDArray[np.int64]
    load: NDArray[np.int64]


def copy_of(packing: Packing) -> Packing:
    """The same packing in memory of its own."""
    return Packing(packing.column.copy(), packing.width.copy(), packing.load.copy())


@compiled
def fill_rows(
    row: NDArray[np.int32], widths: NDArray[np.int32], heights: NDArray[np.int32], count: int
) -> None:
    """Enter the least height for each width of the first `count` options of one kind."""
    row[:] = NEVER
    for option in range(count):
        if widths[option] < len(row):
            row[widths[option]] = min(row[widths[option]], heights[option])
    for width in range(1, len(row)):
        row[width] = min(row[width], row[width - 1])


@compiled
def cost(width: int, load: int, height: int) -> int:
    """Cores that a column's kernels need; those beyond its height count twice."""
    return width * (load + max(0, load - height))


@compiled
def beyond(columns: Columns, packing: Packing) -> int:
    """Cores by which the columns exceed their heights, after counting the rows of every column anew."""
    packing.load[:] = 0
    for kernel in range(len(columns.kind)):
        column = packing.column[kernel]
        packing.load[column] += columns.rows[columns.kind[kernel], packing.width[column]]
    return np.sum(packing.width * np.maximum(0, packing.load - columns.height))  # type: ignore[no-any-return]


@compiled
def pour(columns: Columns, packing: Packing, order: NDArray[np.int64]) -> None:
    """A first packing: in the `order` given, each kernel into the column where it costs least."""
    packing.load[:] = 0
    for kernel in order:
        least = np.int64(1) << 62
        chosen = columns.first[kernel]
        for column in range(columns.first[kernel], columns.behind[kernel]):
            width, load = packing.width[column], packing.load[column]
            needed = load + columns.rows[columns.kind[kernel], width]
            # Beyond the height counts more than in the walk: nothing is taken back here.
            price = width * (needed - load + 4 * max(0, needed - columns.height[column]))
            if price < least:
                least, chosen = price, column
        packing.column[kernel] = chosen
        packing.load[chosen] += columns.rows[columns.kind[kernel], packing.width[chosen]]


@compiled
def walk(
    columns: Columns, packing: Packing, temperature: float, count: int, random: NDArray[np.uint64]
) -> int:
    """Make up to `count` random changes, fewer if all columns then fit.

    Returns:
        Cores by which the columns exceed their heights.
    """
    over = beyond(columns, packing)
    rare = _WIDTHS + (columns.high - columns.low).max() // 16
    for _ in range(count):
        if over == 0:
            break
        bar = temperature * draw_exponential(random)
        if draw(random, rare) == 0:
            over += shift_width(columns, packing, bar, random)
        else:
            over += shift_kernels(columns, packing, bar, random)
    return over


@compiled
def shift_kernels(columns: Columns, packing: Packing, bar: float, random: NDArray[np.uint64]) -> int:
    """Move a kernel or swap two, if that costs at most `bar`; the change of the cores beyond the heights."""
    column, width, load = packing.column, packing.width, packing.load
    kernel = draw(random, len(column))
    one, other = column[kernel], -1
    if draw(random, 100) < _MOVES:
        two = columns.first[kernel] + draw(random, columns.behind[kernel] - columns.first[kernel])
    else:
        low, high = columns.low[columns.first[kernel]], columns.high[columns.behind[kernel] - 1]
        other = low + draw(random, high - low)
        two = column[other]
        if two < columns.first[kernel] or two >= columns.behind[kernel]:
            return 0
        if one < columns.first[other] or one >= columns.behind[other]:
            return 0
    if one == two:
        return 0
    row = columns.rows[columns.kind[kernel]]
    one_load, two_load = load[one] - row[width[one]], load[two] + row[width[two]]
    if other >= 0:
        row = columns.rows[columns.kind[other]]
        one_load, two_load = one_load + row[width[one]], two_load - row[width[two]]
    gained = width[one] * (max(0, one_load - columns.height[one]) - max(0, load[one] - columns.height[one]))
    gained += width[two] * (max(0, two_load - columns.height[two]) - max(0, load[two] - columns.height[two]))
    if gained + width[one] * (one_load - load[one]) + width[two] * (two_load - load[two]) > bar:
        return 0
    load[one], load[two] = one_load, two_load
    column[kernel] = two
    if other >= 0:
        column[other] = one
    return gained  # type: ignore[no-any-return]


@compiled
def load_at(columns: Columns, packing: Packing, column: int, width: int) -> int:
    """Rows that a column would need with another width."""
    rows = 0
    for kernel in range(columns.low[column], columns.high[column]):
        if packing.column[kernel] == column:
            rows += columns.rows[columns.kind[kernel], width]
    return rows


@compiled
def shift_width(columns: Columns, packing: Packing, bar: float, random: NDArray[np.uint64]) -> int:
    """Give some width of one column to another, if that costs at most `bar`; the change of the cores beyond."""
    width, load, height = packing.width, packing.load, columns.height
    one, two, step = draw(random, len(width)), draw(random, len(width)), 1 + draw(random, _STEP)
    if one == two or columns.tile[one] != columns.tile[two]:
        return 0
    if width[one] <= step or width[two] + step >= columns.rows.shape[1]:
        return 0
    narrow, wide = width[one] - step, width[two] + step
    one_load, two_load = load_at(columns, packing, one, narrow), load_at(columns, packing, two, wide)
    change = cost(narrow, one_load, height[one]) - cost(width[one], load[one], height[one])
    change += cost(wide, two_load, height[two]) - cost(width[two], load[two], height[two])
    if change > bar:
        return 0
    gained = narrow * max(0, one_load - height[one]) - width[one] * max(0, load[one] - height[one])
    gained += wide * max(0, two_load - height[two]) - width[two] * max(0, load[two] - height[two])
    width[one], width[two], load[one], load[two] = narrow, wide, one_load, two_load
    return gained  # type: ignore[no-any-return]
