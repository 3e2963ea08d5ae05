"""The routers of lanes between the rectangles that they join: straight runs and turns, without a loop over lanes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.fabric.areas import Settings
    from wsec.compiler.plan import Rectangle, Route

    Points = tuple[NDArray[np.int64], NDArray[np.int64]]

_PORTS = "NESW"
_N, _E, _S, _W = range(4)


def lane_rectangles(
    route: Route, active: NDArray[np.bool_], settings: Settings, *, from_host: bool, to_host: bool
) -> NDArray[np.int64]:
    """Rectangles [n, 5] of the routers of a route's `active` lanes, not merged.

    The first core of a lane is left out unless it begins at the host, the last one unless it ends there: those hold
    settings of the fans.
    """
    corners = [(x[active], y[active]) for x, y in _corners(route)]
    lanes = len(corners[0][0])
    came = np.full(lanes, _W)
    held = np.full(lanes, from_host)  # whether the core at the corner is the lane's own
    found: list[NDArray[np.int64]] = []
    for (x, y), (next_x, next_y) in pairwise(corners):
        step_x, step_y = np.sign(next_x - x), np.sign(next_y - y)
        moves = (step_x != 0) | (step_y != 0)
        leaves = np.select([step_x > 0, step_x < 0, step_y > 0], [_E, _W, _S], _N)
        opposite = (leaves + 2) % 4
        bends = moves & held & (came != opposite)
        found.append(_rectangles((x, y), (x, y), bends, 4 * came + leaves, settings))
        straight = held & ~bends
        start = np.where(straight, x, x + step_x), np.where(straight, y, y + step_y)
        runs = moves & ((start[0] != next_x) | (start[1] != next_y))
        last = next_x - step_x, next_y - step_y
        found.append(_rectangles(start, last, runs, 4 * opposite + leaves, settings))
        came = np.where(moves, opposite, came)
        held = held | moves
    if to_host:
        x, y = corners[-1]
        found.append(_rectangles((x, y), (x, y), held, 4 * came + _E, settings))
    return np.concatenate(found)


def _rectangles(
    start: Points,
    last: Points,
    kept: NDArray[np.bool_],
    ways: NDArray[np.int64],
    settings: Settings,
) -> NDArray[np.int64]:
    """One rectangle for each kept lane, from `start` to `last` in either direction; words come by port `way // 4`."""
    numbers = np.zeros(len(ways), np.int64)
    for way in np.unique(ways[kept]).tolist():
        numbers[ways == way] = settings.number((f"{_PORTS[way // 4]}>{_PORTS[way % 4]}",))
    (x, y), (last_x, last_y) = start, last
    lowest = [np.minimum(x, last_x), np.minimum(y, last_y)]
    extents = [np.abs(last_x - x) + 1, np.abs(last_y - y) + 1]
    return np.stack([*lowest, *extents, numbers], axis=1)[kept]


def _cores(strip: Rectangle) -> Points:
    """Column and row of every core of a strip, from the lowest on."""
    along = np.arange(strip.width * strip.height)
    still = np.zeros_like(along)
    return (strip.x + along, strip.y + still) if strip.height == 1 else (strip.x + still, strip.y + along)


def _corners(route: Route) -> list[Points]:
    """Column and row, of every lane, where it begins, may turn, and ends."""
    x, y = _cores(route.source)
    last_x, last_y = _cores(route.target)
    if route.mirrored:
        last_x, last_y = last_x[::-1], last_y[::-1]
    if route.via is None:
        turns = [(x, last_y) if route.vertical_first else (last_x, y)]
    else:
        between = route.via + np.arange(route.lanes)[:: -1 if route.via_mirrored else 1]
        turns = (
            [(x, between), (last_x, between)] if route.vertical_first else [(between, y), (between, last_y)]
        )
    return [(x, y), *turns, (last_x, last_y)]
