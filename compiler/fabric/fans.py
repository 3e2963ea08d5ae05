"""Fans: how the lanes of a link cover a rectangle of cores with trees that share no core.

Take a strip of L lanes on the west side, lane `l` in row `y[l]`; other sides are turned and mirrored. The rows are divided
in L ranges `[c[l], c[l + 1])`, as even as possible by weight. The tree of lane `l` runs along row `y[l]` to column `t[l]`,
there up or down to the rows of its range, and along each of them to the far end. Lanes whose range begins above their
row come first, with `t[l] = l`; those whose range ends below it come last, with `t[l] = L - 1 - l`; one lane at most is both,
and has a column for each. So columns nest: a core west of `t[l]` in a row of the range of `l` is on the way of another lane,
and belongs to it. There are as many such columns as the rectangle has, which bounds how far ranges may lie from their lanes.

The same trees gather words, towards the lanes, and spread them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from wsec.compiler.fabric.strips import divide, source_strips, target_strips

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
    """

    lane: NDArray[np.int32]
    order: NDArray[np.int32]
    end: NDArray[np.int32]
    parent: NDArray[np.int8]
    side: NDArray[np.int8]


def gather_fan(routes: Sequence[Route], rectangle: Rectangle, words: NDArray[np.int64]) -> Fan:
    """How the lanes gather the words of a producer; `words`, [height, width], is what each core holds."""
    return _fan(source_strips(routes, rectangle), words)


def spread_fan(routes: Sequence[Route], rectangle: Rectangle) -> Fan:
    """How the lanes spread words over a consumer: as many cores to each lane as can be."""
    cores = np.ones((rectangle.height, rectangle.width), np.int64)
    return _fan(target_strips(routes, rectangle), cores)


def row_bounds(weights: NDArray[np.int64], first: int, lanes: int, width: int) -> NDArray[np.int64]:
    """Rows at which the ranges of lanes begin, and the end of the last one: [lanes + 1].

    Every range has a row at least. The lanes are in rows `[first, first + lanes)` of a rectangle of `width` columns.

    Args:
        weights: Of each row, [height].
        first: Row of the first lane.
        lanes: At most as many as rows.
        width: Columns: room for so many ranges away from their lanes, in either direction.
    """
    height = len(weights)
    numbers = np.arange(lanes + 1)
    own_rows = first + numbers
    lower = np.where(numbers >= width, own_rows, numbers)
    upper = np.where(numbers <= lanes - width, own_rows, height - lanes + numbers)
    lower[[0, lanes]] = upper[[0, lanes]] = [0, height]
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


def _nearest(rising: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where the rising numbers come nearest to each of the values, the first such place."""
    after = np.searchsorted(rising, values).clip(1, len(rising) - 1)
    return np.asarray(after - (values - rising[after - 1] <= rising[after] - values))


def _fan(strips: Sequence[Strip], words: NDArray[np.int64]) -> Fan:
    weights = words if words.any() else np.ones_like(words)
    lane, order, end = (np.full(words.shape, -1, np.int32) for _ in range(3))
    parent, side = (np.full(words.shape, -1, np.int8) for _ in range(2))
    fan = Fan(lane, order, end, parent, side)
    for strip, part in zip(strips, divide(strips, weights), strict=True):
        _Frame(strip, part, fan).paint(weights)
    return fan


class _Frame:
    """A part of a fan, turned so that its strip lies in the west: views [height, width], which painting writes to."""

    def __init__(self, strip: Strip, part: Part, fan: Fan) -> None:
        self._strip = strip
        self._part = part
        self._lane, self._order, self._end, self._parent, self._side = (
            self._view(array) for array in (fan.lane, fan.order, fan.end, fan.parent, fan.side)
        )
        self._ports = TURNED[strip.side]
        self._first = strip.y - part.top if strip.side in "EW" else strip.x - part.left

    def paint(self, weights: NDArray[np.int64]) -> None:
        """Write the trees of all lanes of the strip."""
        rows = self._view(weights).sum(axis=1)
        width = self._lane.shape[1]
        bounds = row_bounds(rows, self._first, self._strip.lanes, width).tolist()
        self._side[:] = PORTS.index(self._strip.side)
        for place in range(self._strip.lanes):
            self._paint_lane(place, bounds[place], bounds[place + 1])

    def _paint_lane(self, place: int, top: int, bottom: int) -> None:
        """The tree of the lane at `place` of the strip, for the rows `[top, bottom)`."""
        row = self._first + place
        width = self._lane.shape[1]
        number = self._strip.numbers[place]
        turns = {}
        if top < row:
            turns[_N] = place
        if bottom > row + 1:
            turns[_S] = self._strip.lanes - 1 - place
        reach = width if top <= row < bottom else max(turns.values()) + 1
        self._lane[row, :reach] = number
        self._parent[row, :reach] = self._ports[_W]
        self._order[row, :reach] = np.arange(reach)
        self._end[row, :reach] = reach
        # Subtrees of a router come in the order east, north, south: the deeper turn is in the eastern subtree of the other.
        count = reach
        for port, turn in sorted(turns.items(), key=lambda item: -item[1]):
            count = self._paint_turn(port, turn, (top, row, bottom), number, count)
            self._end[row, : turn + 1] = count

    def _paint_turn(self, port: int, turn: int, rows: tuple[int, int, int], number: int, count: int) -> int:
        """The column at which a lane turns, and the rows that it serves; `count` cores of the tree come before. The new count."""
        top, row, bottom = rows
        if port == _N:
            away, passed = slice(row - 1, top - 1 if top else None, -1), row - min(bottom, row)
        else:
            away, passed = slice(row + 1, bottom), max(top, row + 1) - row - 1
        lane, order, end, parent = (
            array[away] for array in (self._lane, self._order, self._end, self._parent)
        )
        served, width = len(lane) - passed, lane.shape[1] - turn
        total = count + passed + served * width
        starts = count + passed + width * np.arange(served, dtype=np.int32)[:, None]
        lane[:passed, turn] = lane[passed:, turn:] = number
        order[:passed, turn] = count + np.arange(passed)
        order[passed:, turn:] = starts + np.arange(width, dtype=np.int32)
        end[passed:, turn:] = starts + width
        end[:, turn] = total
        parent[passed:, turn:] = self._ports[_W]
        parent[:, turn] = self._ports[_S if port == _N else _N]
        return int(total)

    def _view(self, array: NDArray[Number]) -> NDArray[Number]:
        part = array[self._part.top : self._part.bottom, self._part.left : self._part.right]
        if self._strip.side in "NS":
            part = part.T
        return part[:, ::-1] if self._strip.side in "ES" else part
