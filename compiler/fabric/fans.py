"""Fans: how the lanes of a link cover a rectangle of cores with trees that share no core.

Take a strip of lanes on the west side, lane `l` in row `y[l]`; other sides are turned and mirrored. The rows are divided in
ranges `[c[l], c[l + 1])`, as even as possible by weight. The tree of lane `l` runs along row `y[l]` to column `t[l]`, there up
or down to the rows of its range, and along each of them to the far end. Where it goes up past the row of lane `l - 1`, that
one turns before it: `t[l] = t[l - 1] + 1`, else 0; down likewise, counted from the last lane. So columns nest: a core
west of `t[l]` is on the way of another lane, and belongs to it; but for those between the rows of two lanes, which join the
column from the west. There are as many columns as the rectangle has, which bounds how far ranges may lie from their lanes.

The same trees gather words, towards the lanes, and spread them. Lanes that have nothing to gather are idle: what follows
counts the others only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from wsec.compiler.fabric.strips import divide, prefix_sums, source_strips, target_strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.fabric.strips import Part, Strip
    from wsec.compiler.plan import Rectangle, Route

Number = TypeVar("Number", bound=np.number[Any])

PORTS = "NESW"  # by number, as in `Fan.parent`
_N, _E, _S, _W = range(4)
# Ports of the rectangle, by side of the strip, for the ports N, E, S, W of the frame in which it lies in the west.
TURNED = {
    "W": (_N, _E, _S, _W),
    "E": (_N, _W, _S, _E),
    "N": (_W, _S, _E, _N),
    "S": (_W, _N, _E, _S),
}


@dataclass(frozen=True, slots=True, eq=False)
class Fan:
    """Trees over a rectangle of cores, one for each lane of a link; arrays are [height, width].

    Attributes:
        lane: Number of the lane whose tree the core is in, over all routes of the link in order.
        order: Rank of the core in its tree, the root first, then one subtree after the other: in a gather stream, whose
            words come earlier.
        end: Rank behind the last of the core's own subtree: cores `[order, end)` of the lane are it and those behind it.
        parent: Port towards the root, a number of `PORTS`; at the root the port by which the lane comes or goes.
        side: Side of the strip that the core's tree belongs to, a number of `PORTS`.
        depth: Hops to the root.
    """

    lane: NDArray[np.int32]
    order: NDArray[np.int32]
    end: NDArray[np.int32]
    parent: NDArray[np.int8]
    side: NDArray[np.int8]
    depth: NDArray[np.int32]


def gather_fan(routes: Sequence[Route], rectangle: Rectangle, words: NDArray[np.int64]) -> Fan:
    """How the lanes gather the words of a producer; `words`, [height, width], is what each core holds.

    Lanes that gather nothing have trees too, of cores that hold nothing.
    """
    lanes = np.ones(sum(route.lanes for route in routes), np.bool_)
    return _fan(source_strips(routes, rectangle), words, lanes)


def spread_fan(routes: Sequence[Route], rectangle: Rectangle, active: NDArray[np.bool_] | None = None) -> Fan:
    """How the lanes spread words over a consumer: as many cores to each lane as can be; none to those that are not `active`."""
    cores = np.ones((rectangle.height, rectangle.width), np.int64)
    lanes = np.ones(sum(route.lanes for route in routes), np.bool_) if active is None else active
    return _fan(target_strips(routes, rectangle), cores, lanes)


def range_words(strips: Sequence[Strip], sums: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Words of the lanes of each strip, about, [lanes]: what the rows of each range hold, without what lies on the way.

    Args:
        strips: Of one rectangle.
        sums: By `prefix_sums`, of what every core holds.
    """
    parts = divide(strips, sums)
    return tuple(_range_words(strip, part, sums) for strip, part in zip(strips, parts, strict=True))


def _range_words(strip: Strip, part: Part, sums: NDArray[np.int64]) -> NDArray[np.int64]:
    top, bottom, left, right = part.top, part.bottom, part.left, part.right
    if strip.side in "EW":
        before = sums[top : bottom + 1, right] - sums[top : bottom + 1, left]
        first, width = strip.y - top, right - left
    else:
        before = sums[bottom, left : right + 1] - sums[top, left : right + 1]
        first, width = strip.x - left, bottom - top
    bounds = row_bounds(np.diff(before), first + np.arange(strip.lanes), width)
    words = np.diff(before[bounds])
    return words if strip.numbers.step > 0 else words[::-1]


def subtree_words(fan: Fan, words: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of what each core holds, [height, width], what lies in the subtree of each core, its own included."""
    sizes = np.bincount(fan.lane.ravel())
    first = (np.cumsum(sizes) - sizes)[fan.lane]
    sums = np.zeros(fan.lane.size + 1, np.int64)
    sums[1 + first + fan.order] = words
    np.cumsum(sums, out=sums)
    return np.asarray(sums[first + fan.end] - sums[first + fan.order])


def row_bounds(weights: NDArray[np.int64], rows: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Rows at which the ranges of lanes begin, and the end of the last one: [lanes + 1].

    Every range has a row at least, and no lane turns beyond the last column.

    Args:
        weights: Of each row, [height].
        rows: Of the lanes, rising.
        width: Columns of the rectangle.
    """
    height, lanes = len(weights), len(rows)
    numbers = np.arange(lanes + 1)
    lower, upper = numbers.copy(), height - lanes + numbers
    if rows[-1] - rows[0] == lanes - 1:  # side by side: no lane turns to rows that it has no column for
        lower[width:lanes] = rows[width:]
        upper[1 : max(lanes - width + 1, 1)] = rows[1 : max(lanes - width + 1, 1)]
    lower[[0, lanes]] = upper[[0, lanes]] = [0, height]
    bounds = _even_bounds(weights, lower, upper)
    if _turns(rows, bounds).max() < width:
        return bounds
    return _nearer(rows, bounds, width)


def _even_bounds(
    weights: NDArray[np.int64], lower: NDArray[np.int64], upper: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bounds between `lower` and `upper` with as even weights between them as can be; equal ones are given."""
    numbers = np.arange(len(lower))
    before = np.concatenate([[0], np.cumsum(weights)])
    fixed = lower == upper
    bounds = lower.copy()
    while True:
        share = np.interp(numbers, numbers[fixed], before[bounds[fixed]])
        free = np.where(fixed, bounds, _nearest(before, share))
        excess = np.maximum(lower - free, free - upper)
        worst = int(excess.argmax())
        if excess[worst] <= 0:
            break
        bounds[worst] = np.clip(free[worst], lower[worst], upper[worst])
        fixed[worst] = True
    return np.clip(np.maximum.accumulate(free - numbers) + numbers, lower, upper)


def _nearer(rows: NDArray[np.int64], bounds: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """The bounds with some nearer to their lanes, so that fewer columns are needed than there are."""
    found = bounds.tolist()
    lanes = len(rows)
    up = down = 0
    for lane in range(1, lanes):
        up = up + 1 if found[lane] <= rows[lane - 1] else 0
        if up == width:
            found[lane], up = int(rows[lane - 1]) + 1, 0
        found[lane + 1] = max(found[lane + 1], found[lane] + 1)
    for lane in range(lanes - 2, -1, -1):
        down = down + 1 if found[lane + 1] > rows[lane + 1] else 0
        if down == width:
            found[lane + 1], down = int(rows[lane + 1]), 0
        found[lane] = min(found[lane], found[lane + 1] - 1)
    return np.array(found, np.int64)


def _turns(rows: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Columns at which lanes turn up and down, [2, lanes]; -1 where they do not."""
    at, begins = rows.tolist(), bounds.tolist()
    last = len(at) - 1
    up, down = [-1] * (last + 1), [-1] * (last + 1)
    for lane in range(last + 1):
        if begins[lane] < at[lane]:
            up[lane] = up[lane - 1] + 1 if lane > 0 and begins[lane] <= at[lane - 1] else 0
    for lane in range(last, -1, -1):
        if begins[lane + 1] > at[lane] + 1:
            down[lane] = down[lane + 1] + 1 if lane < last and begins[lane + 1] > at[lane + 1] else 0
    return np.array([up, down], np.int64)


def _nearest(rising: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where the rising numbers come nearest to each of the values, the first such place."""
    after = np.searchsorted(rising, values).clip(1, len(rising) - 1)
    return np.asarray(after - (values - rising[after - 1] <= rising[after] - values))


def _fan(strips: Sequence[Strip], words: NDArray[np.int64], active: NDArray[np.bool_]) -> Fan:
    weights = words if words.any() else np.ones_like(words)
    lane, order, end, depth = (np.full(words.shape, -1, np.int32) for _ in range(4))
    parent, side = (np.full(words.shape, -1, np.int8) for _ in range(2))
    fan = Fan(lane, order, end, parent, side, depth)
    used = [strip for strip in strips if active[strip.numbers].any()]
    for strip, part in zip(used, divide(used, prefix_sums(weights)), strict=True):
        _Frame(strip, part, fan).paint(weights, active)
    return fan


class _Frame:
    """A part of a fan, turned so that its strip lies in the west: views [height, width], which painting writes to."""

    def __init__(self, strip: Strip, part: Part, fan: Fan) -> None:
        self._strip = strip
        self._part = part
        self._lane, self._order, self._end, self._parent, self._side, self._depth = (
            self._view(array) for array in (fan.lane, fan.order, fan.end, fan.parent, fan.side, fan.depth)
        )
        self._ports = TURNED[strip.side]
        self._first = strip.y - part.top if strip.side in "EW" else strip.x - part.left

    def paint(self, weights: NDArray[np.int64], active: NDArray[np.bool_]) -> None:
        """Write the trees of all active lanes of the strip."""
        numbers = np.array(self._strip.numbers)
        places = np.flatnonzero(active[numbers])
        rows = self._first + places
        bounds = row_bounds(self._view(weights).sum(axis=1), rows, self._lane.shape[1])
        up, down = _turns(rows, bounds).tolist()
        self._side[:] = PORTS.index(self._strip.side)
        between = [0, *(rows + 1).tolist()], [*rows.tolist(), len(self._lane)]
        for index, (row, number) in enumerate(zip(rows.tolist(), numbers[places].tolist(), strict=True)):
            top, bottom = int(bounds[index]), int(bounds[index + 1])
            served = range(top, bottom)
            reach = max(up[index], down[index]) + 1 if row not in served else self._lane.shape[1]
            self._paint_trunk(row, reach, number)
            # Subtrees of a router come in the order east, west, north, south: the deeper turn is east of the other.
            count = reach
            sides = [(up[index], _N, between[0][index]), (down[index], _S, between[1][index + 1])]
            for turn, port, gap in sorted(sides, key=lambda side: -side[0]):
                if turn >= 0:
                    count = self._paint_turn(port, turn, (row, gap, served), number, count)
                    self._end[row, : turn + 1] = count

    def _paint_trunk(self, row: int, reach: int, number: int) -> None:
        self._lane[row, :reach] = number
        self._parent[row, :reach] = self._ports[_W]
        self._order[row, :reach] = self._depth[row, :reach] = np.arange(reach)
        self._end[row, :reach] = reach

    def _paint_turn(self, port: int, turn: int, rows: tuple[int, int, range], number: int, count: int) -> int:
        """The column at which a lane turns, and rows on both sides of it; the new count of the cores of the tree.

        Args:
            port: Towards which it turns, N or S.
            turn: The column.
            rows: Of the lane; the first or last one between it and the lane that lies there; and those of its range.
            number: Of the lane.
            count: Cores of its tree so far.
        """
        row, gap, served = rows
        if port == _N:
            away = np.arange(row - 1, served.start - 1, -1)
            west = turn * (away >= gap)
        else:
            away = np.arange(row + 1, served.stop)
            west = turn * (away < gap)
        width = self._lane.shape[1]
        east = np.where((away >= served.start) & (away < served.stop), width - turn - 1, 0)
        sizes = 1 + east + west
        starts = count + np.cumsum(sizes) - sizes
        total = count + int(sizes.sum())
        hops = turn + np.abs(away - row)
        self._lane[away, turn] = number
        self._parent[away, turn] = self._ports[_S if port == _N else _N]
        self._order[away, turn] = starts
        self._end[away, turn] = total
        self._depth[away, turn] = hops
        for cells, runs, parent, first in (
            (slice(turn + 1, width), east > 0, _W, starts + 1),
            (slice(turn - 1, None, -1), west > 0, _E, starts + 1 + east),
        ):
            if runs.any():
                self._paint_runs((away[runs], cells), number, self._ports[parent], first[runs], hops[runs])
        return total

    def _paint_runs(
        self,
        cells: tuple[NDArray[np.int64], slice],
        number: int,
        parent: int,
        first: NDArray[np.int64],
        hops: NDArray[np.int64],
    ) -> None:
        """Runs along rows from a column on, with the ranks from `first` on; the column is `hops` from the root."""
        self._lane[cells] = number
        self._parent[cells] = parent
        steps = np.arange(self._lane[cells].shape[1])
        self._order[cells] = first[:, None] + steps
        self._end[cells] = first[:, None] + len(steps)
        self._depth[cells] = hops[:, None] + 1 + steps

    def _view(self, array: NDArray[Number]) -> NDArray[Number]:
        part = array[self._part.top : self._part.bottom, self._part.left : self._part.right]
        if self._strip.side in "NS":
            part = part.T
        return part[:, ::-1] if self._strip.side in "ES" else part
