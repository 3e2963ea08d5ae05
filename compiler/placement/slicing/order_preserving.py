"""Order-preserving slicing floorplans by dynamic programming over exact shape curves.

The region is cut into columns; a column is a stack of groups; a group is any slicing arrangement of a few consecutive
kernels. For a time limit the total width is minimal within this family (no heuristic inside), so whether a time is
feasible is monotone and can be searched by bisection. After Stockmeyer, "Optimal orientations of cells in slicing
floorplan designs" (1983), and Otten's shape functions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.placement.shape_curves import NEVER, least_heights, least_widths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.shape_curves import ShapeTable

_WIDEST_COLUMN: Final = 6
_THIN: Final = 3


@dataclass(frozen=True, slots=True)
class GroupCurves:
    """Shape curves of every group of up to `len(heights)` consecutive kernels.

    `heights[n - 1][i, w]` is the least height of kernels `i` ... `i + n - 1` in a box of width `w`,
    `widths[n - 1][i, h]` the least width in a box of height `h`.
    """

    heights: list[NDArray[np.int32]]
    widths: list[NDArray[np.int32]]

    @property
    def longest(self) -> int:
        """Kernels in the largest group."""
        return len(self.heights)


def group_curves(
    tables: Sequence[ShapeTable], time: int, width: int, height: int, longest: int
) -> GroupCurves | None:
    """Curves for boxes up to `width` x `height`; None if a kernel has no shape within `time` in such a box.

    With many kernels in large groups a column as wide as the grid is of no use, so the curves end at a few times the
    fair width of a column, or at what the kernel needs whose narrowest shape is the widest.
    """
    fair = width if longest <= _THIN else math.ceil(_WIDEST_COLUMN * width / math.sqrt(len(tables)))
    by_table: dict[int, tuple[NDArray[np.int32], NDArray[np.int32]]] = {}
    for table in tables:
        if id(table) not in by_table:
            curve = least_heights(table, time, width)
            if curve[width] > height:
                return None
            fair = max(fair, int(np.argmax(curve <= height)))
            by_table[id(table)] = (curve, least_widths(table, time, height))
    width = min(width, fair)
    known = {key: at for at, key in enumerate(by_table)}
    runs = _runs(np.array([known[id(table)] for table in tables]), longest)
    heights = [np.stack([curve[: width + 1] for curve, _ in by_table.values()])]
    widths = [np.stack([curve for _, curve in by_table.values()])]
    for size in range(2, len(runs) + 1):
        stacked = _least_sum(heights, runs, size)
        beside = _least_sum(widths, runs, size)
        heights.append(np.minimum(stacked, _inverse(beside, width)))
        widths.append(np.minimum(beside, _inverse(stacked, height)))
    return GroupCurves(
        [curves[run.which] for curves, run in zip(heights, runs, strict=True)],
        [curves[run.which] for curves, run in zip(widths, runs, strict=True)],
    )


@dataclass(frozen=True, slots=True)
class _Runs:
    """Groups of one size: which of the different ones begins at each kernel, and one kernel where each does."""

    which: NDArray[np.intp]
    start: NDArray[np.intp]


def _runs(kind: NDArray[np.int64], longest: int) -> list[_Runs]:
    """The different groups of up to `longest` consecutive kernels, by size; those of equal kinds are equal."""
    runs = [_Runs(kind, np.unique(kind, return_index=True)[1])]
    for size in range(2, min(longest, len(kind)) + 1):
        names = runs[-1].which[:-1] * len(kind) + kind[size - 1 :]
        _, start, which = np.unique(names, return_index=True, return_inverse=True)
        runs.append(_Runs(which, start))
    return runs


def _least_sum(curves: list[NDArray[np.int32]], runs: list[_Runs], size: int) -> NDArray[np.int32]:
    """For each different group of `size`, the least sum of the curves of its two halves over all ways to cut it."""
    start = runs[size - 1].start
    best = np.full((len(start), curves[0].shape[1]), NEVER, dtype=np.int32)
    for first in range(1, size):
        one, two = runs[first - 1].which[start], runs[size - first - 1].which[start + first]
        np.minimum(best, curves[first - 1][one] + curves[size - first - 1][two], out=best)
    return best


def _inverse(curves: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """For each row, a never-rising curve, the least argument whose value is at most 0 ... `size`."""
    count = len(curves)
    result = np.full((count, size + 1), NEVER, dtype=np.int32)
    rows, arguments = np.nonzero(curves <= size)
    # Falling arguments: of several with one value the least is written last and stays.
    result[rows[::-1], curves[rows[::-1], arguments[::-1]]] = arguments[::-1]
    return np.minimum.accumulate(result, axis=1)


def column_widths(groups: GroupCurves, heights: Sequence[int]) -> list[NDArray[np.int32]]:
    """Least width of a column of consecutive kernels, for each column height asked for.

    Returns:
        For each height an int32 array `[n + 1, kernels + 1]`: entry `[n, i]` is the least width of a column that
        stacks kernels `i` ... `i + n - 1`; `NEVER` where they do not fit or do not exist.
    """
    count, size = groups.heights[0].shape
    stacks: list[NDArray[np.int32]] = [np.zeros((count + 1, size), dtype=np.int32)]
    found: list[list[NDArray[np.int32]]] = [[np.full(count + 1, NEVER, dtype=np.int32)] for _ in heights]
    narrowest = 0
    for length in range(1, count + 1):
        starts = count - length + 1
        best: NDArray[np.int32] | None = None
        for last in range(1, min(groups.longest, length) + 1):
            before = stacks[-last][:starts, narrowest - size :]
            total = before + groups.heights[last - 1][length - last : length - last + starts, narrowest:]
            best = total if best is None else np.minimum(best, total, out=best)
        assert best is not None  # noqa: S101 - the loop above runs at least once; this tells mypy
        np.minimum(best, NEVER, out=best)
        stacks = [*stacks[-groups.longest + 1 :], best] if groups.longest > 1 else [best]
        least = NEVER
        for height, rows in zip(heights, found, strict=True):
            row = np.full(count + 1, NEVER, dtype=np.int32)
            row[:starts] = _first_within(best, height, size, narrowest)
            rows.append(row)
            least = min(least, int(row.min()))
        if least >= NEVER:
            break
        narrowest = max(narrowest, least)
    return [np.stack(rows) for rows in found]


def _first_within(curves: NDArray[np.int32], limit: int, size: int, offset: int) -> NDArray[np.int32]:
    """For each row the least width whose height is at most `limit`; columns start at width `offset`."""
    first: NDArray[np.int32] = (curves > limit).sum(axis=1, dtype=np.int32)
    first += offset
    first[first >= size] = NEVER
    return first


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """Which consecutive kernels form a column: ends of the columns and the width of each, left to right."""

    ends: tuple[int, ...]
    widths: tuple[int, ...]


def reach(columns: NDArray[np.int32], start: int, width: int) -> int:
    """The first kernel left over when as many as possible, from `start` on, fill a region of `width` columns."""
    count = columns.shape[1] - 1
    total = np.full(count + 1, NEVER, dtype=np.int64)
    total[start] = 0
    end = start
    for first in range(start, count):
        if total[first] > width:
            continue
        lengths = min(len(columns) - 1, count - first)
        reached = total[first] + columns[1 : lengths + 1, first]
        window = total[first + 1 : first + lengths + 1]
        np.minimum(window, reached, out=window)
        end = max(end, first + int(np.count_nonzero(reached <= width)))
    return end


def column_plans(
    columns: NDArray[np.int32], start: int, end: int, width: int, choices: int
) -> list[ColumnPlan]:
    """Plans of least total width for kernels `start` ... `end - 1`, of the `choices` least numbers of columns."""
    count = columns.shape[1] - 1
    totals = [np.full(count + 1, NEVER, dtype=np.int64)]
    totals[0][start] = 0
    lengths: list[NDArray[np.int64]] = []
    plans: list[ColumnPlan] = []
    while len(totals) <= end - start and len(plans) < choices:
        total, length = _one_more_column(columns, totals[-1])
        if int(total.min()) > width:
            break
        total[total > width] = NEVER
        totals.append(total)
        lengths.append(length)
        if total[end] <= width:
            plans.append(_trace(columns, lengths, len(lengths), end))
    return plans


def _one_more_column(
    columns: NDArray[np.int32], total: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least total width up to each kernel with one more column, and that column's length."""
    count = columns.shape[1] - 1
    best = np.full(count + 1, NEVER, dtype=np.int64)
    chosen = np.zeros(count + 1, dtype=np.int64)
    for length in range(1, len(columns)):
        candidate = total[: count + 1 - length] + columns[length, : count + 1 - length]
        better = candidate < best[length:]
        best[length:][better] = candidate[better]
        chosen[length:][better] = length
    return best, chosen


def _trace(columns: NDArray[np.int32], lengths: list[NDArray[np.int64]], number: int, end: int) -> ColumnPlan:
    ends: list[int] = []
    widths: list[int] = []
    for step in range(number - 1, -1, -1):
        length = int(lengths[step][end])
        ends.append(end)
        end -= length
        widths.append(int(columns[length, end]))
    return ColumnPlan(tuple(reversed(ends)), tuple(reversed(widths)))
