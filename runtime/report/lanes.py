"""The lanes of routes as straight legs, for all lanes at once, and the cores that they pass.

A lane runs along straight legs (`wsec.compiler.plan.Route`); a leg after the first begins one core behind the corner, so that
the legs of a lane share no core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route

    Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Corners:
    """Where the lanes of a route begin, turn and end: columns and rows, [corners, lanes]."""

    x: Numbers
    y: Numbers


def corners_of(route: Route) -> Corners:
    """Of all lanes: source core, one or two turns, target core."""
    start_x, start_y = _cores(route.source, mirrored=False)
    end_x, end_y = _cores(route.target, mirrored=route.mirrored)
    if route.via is None:
        turn = (start_x, end_y) if route.vertical_first else (end_x, start_y)
        return Corners(np.stack([start_x, turn[0], end_x]), np.stack([start_y, turn[1], end_y]))
    lanes = np.arange(route.lanes)
    middle = route.via + (lanes[::-1] if route.via_mirrored else lanes)
    if route.vertical_first:
        return Corners(np.stack([start_x, start_x, end_x, end_x]), np.stack([start_y, middle, middle, end_y]))
    return Corners(np.stack([start_x, middle, middle, end_x]), np.stack([start_y, start_y, end_y, end_y]))


def middle_path(route: Route) -> list[int]:
    """The corners of the lane in the middle, one after the other: x, y, x, y ..."""
    corners = corners_of(route)
    lane = route.lanes // 2
    path: list[int] = []
    for x, y in zip(corners.x[:, lane].tolist(), corners.y[:, lane].tolist(), strict=True):
        if path[-2:] != [x, y]:
            path += [x, y]
    return path


def sum_over_lanes(
    routes: Sequence[Route], amounts: Sequence[float], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """For each core of a region of `shape` (rows, columns), the amounts of all lanes that pass it, ends included.

    Linear in lanes and cores: ends of legs are marked, and summed up along rows and columns.
    """
    rows, columns = shape
    along_rows = np.zeros((rows, columns + 1))
    along_columns = np.zeros((rows + 1, columns))
    for route, amount in zip(routes, amounts, strict=True):
        corners = corners_of(route)
        for leg in range(len(corners.x) - 1):
            x, y = corners.x[leg : leg + 2], corners.y[leg : leg + 2]
            horizontal = (y[0] == y[1]) & ((x[0] != x[1]) | (leg == 0))
            low, high = _cores_of_leg(x, first=leg == 0)
            _mark(along_rows, (y[0], low), (y[0], high + 1), amount, horizontal & (low <= high))
            low, high = _cores_of_leg(y, first=leg == 0)
            _mark(along_columns, (low, x[0]), (high + 1, x[0]), amount, ~horizontal & (low <= high))
    return np.cumsum(along_rows, axis=1)[:, :-1] + np.cumsum(along_columns, axis=0)[:-1]


def _cores(strip: Rectangle, *, mirrored: bool) -> tuple[Numbers, Numbers]:
    """Columns and rows of the cores of a strip, in the order of the lanes."""
    lanes = np.arange(strip.width * strip.height)
    if mirrored:
        lanes = lanes[::-1]
    along = strip.width > 1
    return strip.x + lanes * along, strip.y + lanes * (not along)


def _cores_of_leg(ends: Numbers, *, first: bool) -> tuple[Numbers, Numbers]:
    """First and last core along the leg, without the corner at which it begins unless it is the first."""
    step = np.sign(ends[1] - ends[0])
    begin = ends[0] if first else ends[0] + step
    empty = (step == 0) & (not first)
    return np.minimum(begin, ends[1]) + empty, np.maximum(begin, ends[1])


def _mark(
    grid: NDArray[np.float64],
    begin: tuple[Numbers, Numbers],
    end: tuple[Numbers, Numbers],
    amount: float,
    chosen: NDArray[np.bool_],
) -> None:
    np.add.at(grid, (begin[0][chosen], begin[1][chosen]), amount)
    np.add.at(grid, (end[0][chosen], end[1][chosen]), -amount)


def colours_of_lanes(routes: Iterable[Route], shape: tuple[int, int]) -> NDArray[np.int64]:
    """For each core, on how many colours lanes pass it."""
    by_colour: dict[int, list[Route]] = {}
    for route in routes:
        by_colour.setdefault(route.colour, []).append(route)
    held = np.zeros(shape, np.int64)
    for same in by_colour.values():
        held += sum_over_lanes(same, [1.0] * len(same), shape) > 0.5
    return held
