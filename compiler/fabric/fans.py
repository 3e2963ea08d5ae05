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
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.fan_loops import bring_nearer, even_bounds, paint, subtree_sums, turns
from wsec.compiler.fabric.strips import divide, prefix_sums, source_strips, target_strips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.fabric.strips import Part, Strip
    from wsec.compiler.plan import Rectangle, Route

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
    return subtree_sums(fan.lane, fan.order, fan.end, words, int(fan.lane.max()) + 1)


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
    bounds = even_bounds(weights, lower, upper)
    up, down = turns(rows, bounds)
    if max(up.max(), down.max()) >= width:
        bring_nearer(rows, bounds, width)
    return bounds


def _fan(strips: Sequence[Strip], words: NDArray[np.int64], active: NDArray[np.bool_]) -> Fan:
    weights = words if words.any() else np.ones_like(words)
    lane, order, end, depth = (np.full(words.shape, -1, np.int32) for _ in range(4))
    parent, side = (np.full(words.shape, -1, np.int8) for _ in range(2))
    fan = Fan(lane, order, end, parent, side, depth)
    used = [strip for strip in strips if active[strip.numbers].any()]
    for strip, part in zip(used, divide(used, prefix_sums(weights)), strict=True):
        _paint(strip, part, fan, weights, active)
    return fan


def _paint(strip: Strip, part: Part, fan: Fan, weights: NDArray[np.int64], active: NDArray[np.bool_]) -> None:
    """Write the trees of all active lanes of a strip, in its part turned so that the strip lies in the west."""
    numbers = np.array(strip.numbers)
    places = np.flatnonzero(active[numbers])
    upright = strip.side in "EW"
    rows = (strip.y - part.top if upright else strip.x - part.left) + places
    inside = slice(part.top, part.bottom), slice(part.left, part.right)
    height, width = part.bottom - part.top, part.right - part.left
    stride = fan.lane.shape[1]
    first, row_step, column_step = part.top * stride + part.left, stride, 1
    if not upright:
        height, width, row_step, column_step = width, height, 1, stride
    if strip.side in "ES":
        first, column_step = first + (width - 1) * column_step, -column_step
    bounds = row_bounds(weights[inside].sum(axis=1 if upright else 0), rows, width)
    fan.side[inside] = PORTS.index(strip.side)
    lane, order, end, depth = (array.reshape(-1) for array in (fan.lane, fan.order, fan.end, fan.depth))
    paint(
        (lane, order, end, depth, fan.parent.reshape(-1)),
        (first, row_step, column_step, width),
        height,
        np.array(TURNED[strip.side]),
        numbers[places],
        rows,
        bounds,
    )
