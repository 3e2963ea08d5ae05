"""The lanes of a link's routes, from docs/plan.md: where each begins, turns and ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import Link, Rectangle, Route

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Lanes:
    """The lanes of those routes of a link that have one colour.

    Attributes:
        numbers: Of the lanes among all of the link: [lanes].
        corners: Column and row where each begins, may turn twice, and ends: [lanes, 4, 2].
    """

    numbers: Integers
    corners: Integers

    def first_ports(self) -> Integers:
        """The port by which each leaves its first core; -1 where that is its last, too."""
        return _ports(self.corners)

    def only(self, kept: NDArray[np.bool_]) -> Lanes:
        """Some of the lanes."""
        return Lanes(self.numbers[kept], self.corners[kept])

    def last_ports(self) -> Integers:
        """The port by which each comes to its last core; -1 where that is its first, too."""
        return _ports(self.corners[:, ::-1])


def lanes_of(link: Link, colour: int) -> Lanes:
    """The lanes of a link on a colour."""
    first, numbers, corners = 0, [np.zeros(0, np.int64)], [np.zeros((0, 4, 2), np.int64)]
    for route in link.routes:
        if route.colour == colour:
            numbers.append(np.arange(first, first + route.lanes))
            corners.append(_corners(route))
        first += route.lanes
    return Lanes(np.concatenate(numbers), np.concatenate(corners))


def _corners(route: Route) -> Integers:
    start, end = _cores(route.source), _cores(route.target)
    if route.mirrored:
        end = end[::-1]
    along = 1 if route.vertical_first else 0  # the coordinate that the first leg changes
    first, second = start.copy(), end.copy()
    if route.via is None:
        first[:, along] = end[:, along]
    else:
        between = route.via + np.arange(route.lanes)
        between = between[::-1] if route.via_mirrored else between
        first[:, along] = second[:, along] = between
    return np.stack([start, first, second, end], axis=1)


def _cores(strip: Rectangle) -> Integers:
    """Column and row of each core of a strip, from the lowest on."""
    along = np.arange(strip.width * strip.height)
    zero = np.zeros_like(along)
    columns, rows = (along, zero) if strip.height == 1 else (zero, along)
    return np.stack([strip.x + columns, strip.y + rows], axis=1)


def _ports(corners: Integers) -> Integers:
    """The port of the first core that faces the next corner which is another core: N, E, S or W, -1 without one."""
    ports = np.full(len(corners), -1, np.int64)
    for corner in (3, 2, 1):
        right, down = (corners[:, corner] - corners[:, 0]).T
        facing = np.where(right > 0, 1, np.where(right < 0, 3, np.where(down > 0, 2, 0)))
        ports = np.where((right != 0) | (down != 0), facing, ports)
    return ports
