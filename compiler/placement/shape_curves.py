"""Shape options as curves: which rectangles a kernel may be within a time, and which options are worth keeping.

A curve at a time limit gives the least height for each width (and the least width for each height); it never rises.
All of it is vectorised: tens of thousands of options cost well under a millisecond.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.problem import Rectangle, ShapeOptions

NEVER = 1 << 20
"""A side longer than any grid: no rectangle will do. Sums of a thousand of them still fit in int32."""

_DENSE_CELLS = 1 << 22


def pareto_filter(
    widths: NDArray[np.int64], heights: NDArray[np.int64], cycles: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Indices, ascending, of the options that no other option beats or equals in width, height and cycles.

    Of equal options the first stays. Three million candidates on a wafer-sized grid take about 0.1 s.
    """
    if len(cycles) == 0:
        return np.zeros(0, dtype=np.int64)
    if (int(widths.max()) + 1) * (int(heights.max()) + 1) > _DENSE_CELLS:
        widths = np.unique(widths, return_inverse=True)[1].astype(np.int64)
        heights = np.unique(heights, return_inverse=True)[1].astype(np.int64)
    if (int(widths.max()) + 1) * (int(heights.max()) + 1) > _DENSE_CELLS:
        return _pareto_by_staircase(widths, heights, cycles)
    return _pareto_by_cells(widths, heights, cycles)


def _pareto_by_cells(
    widths: NDArray[np.int64], heights: NDArray[np.int64], cycles: NDArray[np.int64]
) -> NDArray[np.int64]:
    """A table over (width, height): a cell survives where it is faster than all cells of smaller rectangles."""
    shape = (int(widths.max()) + 2, int(heights.max()) + 2)
    worst = np.iinfo(np.int64).max
    cell = (widths + 1) * shape[1] + heights + 1
    fastest = np.full(shape[0] * shape[1], worst, dtype=np.int64)
    np.minimum.at(fastest, cell, cycles)
    table = fastest.reshape(shape)
    within = np.minimum.accumulate(np.minimum.accumulate(table, axis=0), axis=1)
    keep = np.zeros(shape, dtype=np.bool_)
    keep[1:, 1:] = (table[1:, 1:] < within[:-1, 1:]) & (table[1:, 1:] < within[1:, :-1])
    chosen = np.flatnonzero(keep.reshape(-1)[cell] & (cycles == fastest[cell]))
    _, first = np.unique(cell[chosen], return_index=True)
    return np.sort(chosen[first])


def _pareto_by_staircase(
    widths: NDArray[np.int64], heights: NDArray[np.int64], cycles: NDArray[np.int64]
) -> NDArray[np.int64]:
    """From fast to slow, keep what lies below the staircase of the (width, height) kept so far."""
    stair_widths: list[int] = []
    stair_heights: list[int] = []
    kept: list[int] = []
    for index in np.lexsort((heights, widths, cycles)).tolist():
        width, height = int(widths[index]), int(heights[index])
        at = bisect_right(stair_widths, width)
        if at and stair_heights[at - 1] <= height:
            continue
        kept.append(index)
        if at and stair_widths[at - 1] == width:
            at -= 1
        end = at
        while end < len(stair_heights) and stair_heights[end] >= height:
            end += 1
        stair_widths[at:end] = [width]
        stair_heights[at:end] = [height]
    return np.sort(np.asarray(kept, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class ShapeTable:
    """The options of a kernel that fit a grid, from fast to slow.

    Attributes:
        widths: Of each option, in columns.
        heights: Of each option, in rows.
        cycles: Of each option, ascending.
        least_area: The smallest area among this option and the faster ones.
        origin: The option's index in the `ShapeOptions` it came from.
        turned: Whether the option's sides are swapped.
    """

    widths: NDArray[np.int32]
    heights: NDArray[np.int32]
    cycles: NDArray[np.int64]
    least_area: NDArray[np.int64]
    origin: NDArray[np.int32]
    turned: NDArray[np.bool_]

    def count_within(self, time: int) -> int:
        """How many options take at most `time` cycles; they are the first ones."""
        return int(np.searchsorted(self.cycles, time, side="right"))

    def area_within(self, time: int) -> int | None:
        """The least area of an option of at most `time` cycles; None if there is none."""
        count = self.count_within(time)
        return int(self.least_area[count - 1]) if count else None

    def fastest_inside(self, width: int, height: int) -> int | None:
        """The position of the fastest, then smallest, option that fits a `width` x `height` box."""
        fits = (self.widths <= width) & (self.heights <= height)
        first = int(np.argmax(fits))
        return first if fits[first] else None

    def inside(self, width: int, height: int) -> ShapeTable:
        """The options that fit a `width` x `height` box."""
        fits = (self.widths <= width) & (self.heights <= height)
        area = self.widths[fits].astype(np.int64) * self.heights[fits]
        return ShapeTable(
            self.widths[fits],
            self.heights[fits],
            self.cycles[fits],
            np.minimum.accumulate(area),
            self.origin[fits],
            self.turned[fits],
        )

    def transposed(self) -> ShapeTable:
        """The same options with the sides swapped."""
        return ShapeTable(self.heights, self.widths, self.cycles, self.least_area, self.origin, self.turned)


def shape_table(
    shapes: ShapeOptions, spaces: Sequence[Rectangle], *, rotatable: bool = False, fastest: int = 0
) -> ShapeTable:
    """The options that fit into one of the free rectangles `spaces`; equal cycles from small to large area.

    No time limit below `fastest` matters: of the options within it, those stay that no other of them beats or equals
    in width and height, and no slower option stays that one of them beats. Of a rotatable kernel every option comes
    twice, as it is and with its sides swapped.
    """
    count = len(shapes.cycles)
    origin = np.arange(count, dtype=np.int32)
    turned = np.zeros(count, dtype=np.bool_)
    widths, heights = shapes.widths, shapes.heights
    if rotatable:
        origin = np.concatenate([origin, origin])
        turned = np.concatenate([turned, ~turned])
        widths, heights = np.concatenate([widths, heights]), np.concatenate([heights, widths])
    fits = np.zeros(len(origin), dtype=np.bool_)
    for space in spaces:
        fits |= (widths <= space.width) & (heights <= space.height)
    usable = np.flatnonzero(fits)
    usable = usable[_matters(widths[usable], heights[usable], shapes.cycles[origin[usable]], fastest)]
    cycles, area = shapes.cycles[origin[usable]], widths[usable] * heights[usable]
    by_speed = np.lexsort((area, cycles))
    usable = usable[by_speed]
    return ShapeTable(
        widths[usable].astype(np.int32),
        heights[usable].astype(np.int32),
        cycles[by_speed],
        np.minimum.accumulate(area[by_speed]),
        origin[usable],
        turned[usable],
    )


def _matters(
    widths: NDArray[np.int64], heights: NDArray[np.int64], cycles: NDArray[np.int64], fastest: int
) -> NDArray[np.intp]:
    """Positions of the options that are of use at time limits from `fastest` on."""
    fast = cycles <= fastest
    if not fast.any():
        return np.arange(len(cycles))
    widest = int(widths.max())
    curve = np.full(widest + 1, NEVER, dtype=np.int64)
    np.minimum.at(curve, widths[fast], heights[fast])
    curve = np.minimum.accumulate(curve)
    corners = np.flatnonzero(fast & (heights == curve[widths]) & (heights < curve[widths - 1]))
    # Of equal rectangles the fastest stays.
    order = corners[np.lexsort((cycles[corners], widths[corners]))]
    first = np.append(True, widths[order][1:] != widths[order][:-1])
    return np.concatenate([order[first], np.flatnonzero(~fast & (heights < curve[widths]))])


def least_heights(table: ShapeTable, time: int, width: int) -> NDArray[np.int32]:
    """Least height for each width 0 ... `width` within `time` cycles; `NEVER` where no option is that narrow."""
    return _staircase(table.widths, table.heights, table.count_within(time), width)


def least_widths(table: ShapeTable, time: int, height: int) -> NDArray[np.int32]:
    """Least width for each height 0 ... `height` within `time` cycles; `NEVER` where no option is that low."""
    return _staircase(table.heights, table.widths, table.count_within(time), height)


def _staircase(key: NDArray[np.int32], value: NDArray[np.int32], count: int, size: int) -> NDArray[np.int32]:
    curve = np.full(size + 1, NEVER, dtype=np.int32)
    inside = key[:count] <= size
    np.minimum.at(curve, key[:count][inside], value[:count][inside])
    return np.minimum.accumulate(curve)


def staircase_corners(table: ShapeTable, time: int, width: int, height: int) -> list[tuple[int, int]]:
    """The non-dominated (width, height) within `time` cycles and a `width` x `height` box, from narrow to wide."""
    curve = least_heights(table, time, width)
    drops = np.flatnonzero(curve[1:] < curve[:-1]) + 1
    return [(int(at), int(curve[at])) for at in drops if curve[at] <= height]
