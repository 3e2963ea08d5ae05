"""Fans, the loops over lanes and cores: compiled. Shapes and meanings are those of `wsec.compiler.fabric.fans`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]
    Numbers = NDArray[np.int32]
    Trees = tuple[
        Numbers, Numbers, Numbers, Numbers, NDArray[np.int8]
    ]  # lane, order, end, depth, parent; all flat
    View = tuple[
        int, int, int, int
    ]  # flat index of the first core, steps from row to row and column to column, columns

_N, _E, _S, _W = range(4)


@compiled
def even_bounds(weights: Indices, lower: Indices, upper: Indices) -> Indices:
    """Bounds between `lower` and `upper` with as even weights between them as can be; equal ones are given."""
    count = len(lower)
    before = np.zeros(len(weights) + 1, np.int64)
    before[1:] = np.cumsum(weights)
    fixed = lower == upper
    bounds = lower.copy()
    free = np.empty(count, np.int64)
    while True:
        _share_evenly(before, fixed, bounds, free)
        worst, excess = 0, np.int64(0)
        for number in range(count):
            over = max(lower[number] - free[number], free[number] - upper[number])
            if over > excess:
                worst, excess = number, over
        if excess == 0:
            break
        bounds[worst] = min(max(free[worst], lower[worst]), upper[worst])
        fixed[worst] = True
    least = free[0]
    for number in range(count):
        least = max(least + (number > 0), free[number])
        bounds[number] = min(max(least, lower[number]), upper[number])
    return bounds


@compiled
def _share_evenly(before: Indices, fixed: NDArray[np.bool_], bounds: Indices, free: Indices) -> None:
    """Between the fixed bounds the others, each where the weight before it comes nearest to its share."""
    left = right = 0
    for number in range(len(bounds)):
        if fixed[number]:
            left = number
            free[number] = bounds[number]
            continue
        if right < number:
            right = number + 1
            while not fixed[right]:
                right += 1
        low, high = float(before[bounds[left]]), float(before[bounds[right]])
        share = (high - low) / (right - left) * (number - left) + low
        after = min(max(int(np.searchsorted(before, share)), 1), len(before) - 1)
        free[number] = after - (share - before[after - 1] <= before[after] - share)


@compiled
def turns(rows: Indices, bounds: Indices) -> tuple[Indices, Indices]:
    """Columns at which lanes turn up and down, [lanes] each; -1 where they do not."""
    lanes = len(rows)
    up, down = np.full(lanes, -1, np.int64), np.full(lanes, -1, np.int64)
    for lane in range(lanes):
        if bounds[lane] < rows[lane]:
            up[lane] = up[lane - 1] + 1 if lane > 0 and bounds[lane] <= rows[lane - 1] else 0
    for lane in range(lanes - 1, -1, -1):
        if bounds[lane + 1] > rows[lane] + 1:
            beside = lane < lanes - 1 and bounds[lane + 1] > rows[lane + 1]
            down[lane] = down[lane + 1] + 1 if beside else 0
    return up, down


@compiled
def bring_nearer(rows: Indices, bounds: Indices, width: int) -> None:
    """Move bounds nearer to their lanes, so that fewer columns are needed than there are."""
    lanes = len(rows)
    up = down = 0
    for lane in range(1, lanes):
        up = up + 1 if bounds[lane] <= rows[lane - 1] else 0
        if up == width:
            bounds[lane], up = rows[lane - 1] + 1, 0
        bounds[lane + 1] = max(bounds[lane + 1], bounds[lane] + 1)
    for lane in range(lanes - 2, -1, -1):
        down = down + 1 if bounds[lane + 1] > rows[lane + 1] else 0
        if down == width:
            bounds[lane + 1], down = rows[lane + 1], 0
        bounds[lane] = min(bounds[lane], bounds[lane + 1] - 1)


@compiled
def paint(
    trees: Trees, view: View, height: int, ports: Indices, numbers: Indices, rows: Indices, bounds: Indices
) -> None:
    """Write the trees of lanes that come in from the west.

    Args:
        trees: What is written.
        view: Where in it the part lies that the lanes share, as it is turned.
        height: Rows of the part.
        ports: Of the rectangle, for the ports N, E, S, W of the part as it is turned.
        numbers: Of the lanes.
        rows: At which they come in, rising.
        bounds: Of the rows that each serves, [lanes + 1].
    """
    up, down = turns(rows, bounds)
    lanes, width = len(rows), view[3]
    for index in range(lanes):
        row, number = rows[index], numbers[index]
        serves = bounds[index] <= row < bounds[index + 1]
        count = width if serves else max(up[index], down[index]) + 1
        for column in range(count):
            _write(trees, view, row, column, number, ports[_W], column, count, column)
        above = rows[index - 1] + 1 if index > 0 else 0
        below = rows[index + 1] if index < lanes - 1 else height
        # Subtrees of a router come in the order east, west, north, south: the deeper turn is east of the other.
        for place in range(2):
            north = (down[index] <= up[index]) == (place == 0)
            turn = up[index] if north else down[index]
            if turn < 0:
                continue
            gap = above if north else below
            served = bounds[index], bounds[index + 1]
            count = _paint_turn(trees, view, ports, north, turn, row, gap, served, number, count)
            for column in range(turn + 1):
                trees[2][view[0] + row * view[1] + column * view[2]] = count


@compiled
def _paint_turn(
    trees: Trees,
    view: View,
    ports: Indices,
    north: bool,  # noqa: FBT001 - compiled functions know no keywords here
    turn: int,
    row: int,
    gap: int,
    served: tuple[int, int],
    number: int,
    count: int,
) -> int:
    """The column at which a lane turns, and rows on both sides of it; the new count of the cores of the tree.

    Args:
        trees: What is written.
        view: Where in it.
        ports: Of the rectangle.
        north: Whether the lane turns north, or south.
        turn: The column.
        row: Of the lane.
        gap: The first or last row between it and the lane that lies there: up to it rows west of the column are its own.
        served: The rows of its range, the end exclusive.
        number: Of the lane.
        count: Cores of its tree so far.
    """
    step = -1 if north else 1
    stop = served[0] - 1 if north else served[1]
    total = count
    for away in range(row + step, stop, step):
        total += 1 + _east(view, turn, away, served) + _west(north, turn, away, gap)
    start = count
    for away in range(row + step, stop, step):
        hops = turn + abs(away - row)
        east, west = _east(view, turn, away, served), _west(north, turn, away, gap)
        _write(trees, view, away, turn, number, ports[_S if north else _N], start, total, hops)
        for place in range(east):
            first = start + 1
            _write(
                trees,
                view,
                away,
                turn + 1 + place,
                number,
                ports[_W],
                first + place,
                first + east,
                hops + 1 + place,
            )
        for place in range(west):
            first = start + 1 + east
            _write(
                trees,
                view,
                away,
                turn - 1 - place,
                number,
                ports[_E],
                first + place,
                first + west,
                hops + 1 + place,
            )
        start += 1 + east + west
    return total


@compiled
def _east(view: View, turn: int, away: int, served: tuple[int, int]) -> int:
    return view[3] - turn - 1 if served[0] <= away < served[1] else 0


@compiled
def _west(north: bool, turn: int, away: int, gap: int) -> int:  # noqa: FBT001 - as above
    return turn if (away >= gap if north else away < gap) else 0


@compiled
def _write(
    trees: Trees,
    view: View,
    row: int,
    column: int,
    number: int,
    parent: int,
    order: int,
    end: int,
    depth: int,
) -> None:
    core = view[0] + row * view[1] + column * view[2]
    trees[0][core] = number
    trees[1][core] = order
    trees[2][core] = end
    trees[3][core] = depth
    trees[4][core] = parent


@compiled
def subtree_sums(lane: Numbers, order: Numbers, end: Numbers, words: Indices, lanes: int) -> Indices:
    """Of what each core holds, [height, width], what lies in the subtree of each core, its own included."""
    firsts = np.zeros(lanes + 1, np.int64)
    for each in lane.flat:
        firsts[each + 1] += 1
    for number in range(lanes):
        firsts[number + 1] += firsts[number]
    sums = np.zeros(lane.size + 1, np.int64)
    height, width = lane.shape
    for row in range(height):
        for column in range(width):
            sums[1 + firsts[lane[row, column]] + order[row, column]] = words[row, column]
    for place in range(lane.size):
        sums[place + 1] += sums[place]
    behind = np.empty(lane.shape, np.int64)
    for row in range(height):
        for column in range(width):
            first = firsts[lane[row, column]]
            behind[row, column] = sums[first + end[row, column]] - sums[first + order[row, column]]
    return behind
