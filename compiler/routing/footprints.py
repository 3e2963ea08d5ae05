"""The cores of many routes as arrays of rectangles, and which routes share a core.

Nested lanes fill the squares in which they turn, so the cores of a route are up to three bands without holes. The ground
of a link is the rectangles in which its words are gathered and spread: fans fill them. Routes share a core where their bands
or grounds overlap; those of one link where their bands do, as each has its own part of the ground.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.routing.geometry import footprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route

_LANE_BANDS = 3
_ENDS = 2
_BLOCK = 256  # routes compared with all others at once, which bounds the memory


@dataclass(frozen=True, slots=True)
class Ground:
    """The rectangles of the kernels at the ends of a link, none for the host, and the number of the link."""

    link: int
    rectangles: tuple[Rectangle, ...]


NO_GROUND = Ground(-1, ())


class Footprints:
    """Bands `[routes, 5, 4]` of the routes given and added: left, top, right, bottom, the last two exclusive.

    The first three are those of the lanes, the last two the ground; what is missing is an empty rectangle.
    """

    def __init__(self, routes: Sequence[Route], grounds: Sequence[Ground] | None = None) -> None:
        """The cores of routes, with the ground of each one's link; without `grounds` lanes only, each route another link."""
        grounds = [NO_GROUND] * len(routes) if grounds is None else grounds
        self._bands = _bands(routes, grounds)
        self._links = np.array([ground.link for ground in grounds], np.int64)
        self._boxes = _enclose(self._bands)

    def add(self, routes: Sequence[Route], ground: Ground = NO_GROUND) -> None:
        """Append routes of one link; they get the next numbers."""
        bands = _bands(routes, [ground] * len(routes))
        self._bands = np.concatenate([self._bands, bands])
        self._links = np.concatenate([self._links, np.full(len(routes), ground.link)])
        self._boxes = np.concatenate([self._boxes, _enclose(bands)])

    def touching(self, route: Route, ground: Ground = NO_GROUND) -> NDArray[np.intp]:
        """Numbers of the routes that share a core with this one, rising."""
        bands = _bands([route], [ground])
        near = np.nonzero(_overlap(_enclose(bands), self._boxes))[0]
        same = (self._links[near] == ground.link) & (ground.link >= 0)
        return near[_any_band(bands, self._bands[near], same)]

    def conflicts(self) -> list[NDArray[np.intp]]:
        """For each route the numbers of the others that share a core with it, rising."""
        neighbours: list[NDArray[np.intp]] = []
        for start in range(0, len(self._boxes), _BLOCK):
            block = self._boxes[start : start + _BLOCK]
            rows, columns = np.nonzero(_overlap(block[:, None], self._boxes[None]))
            rows += start
            same = (self._links[rows] == self._links[columns]) & (self._links[rows] >= 0)
            keep = _any_band(self._bands[rows], self._bands[columns], same) & (rows != columns)
            rows, columns = rows[keep], columns[keep]
            ends = np.searchsorted(rows, np.arange(start, start + len(block) + 1))
            neighbours.extend(columns[a:b] for a, b in itertools.pairwise(ends))
        return neighbours


def _bands(routes: Sequence[Route], grounds: Sequence[Ground]) -> NDArray[np.int64]:
    """Routes of fewer bands or ends on the wafer have some again."""
    found = [
        _filled(footprint(route), _LANE_BANDS) + _filled(ground.rectangles or footprint(route), _ENDS)
        for route, ground in zip(routes, grounds, strict=True)
    ]
    return np.array(found, np.int64).reshape(-1, _LANE_BANDS + _ENDS, 4)


def _filled(rectangles: Sequence[Rectangle], count: int) -> list[tuple[int, int, int, int]]:
    """So many rectangles, the last one more than once where there are fewer."""
    edges = [(each.x, each.y, each.x + each.width, each.y + each.height) for each in rectangles[:count]]
    return edges + edges[-1:] * (count - len(edges))


def _enclose(rectangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bounding boxes `[n, 4]` of rectangles `[n, any, 4]`."""
    return np.concatenate([rectangles[..., :2].min(axis=1), rectangles[..., 2:].max(axis=1)], axis=-1)


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether rectangles overlap; `a` and `b` broadcast against each other up to the last axis."""
    columns = (a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2])
    rows = (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3])
    return np.asarray(columns & rows)


def _any_band(a: NDArray[np.int64], b: NDArray[np.int64], lanes_only: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether any band of one route overlaps any of the other, pair by pair; of some pairs only the lanes are looked at."""
    found = _overlap(a[:, :, None], b[:, None, :])
    lanes = found[:, :_LANE_BANDS, :_LANE_BANDS].any(axis=(1, 2))
    return np.asarray(np.where(lanes_only, lanes, found.any(axis=(1, 2))))
