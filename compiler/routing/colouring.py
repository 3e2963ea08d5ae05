"""Colours for routes: two routes that share a core need different ones.

DSATUR: colour next the route that sees most colours among its neighbours, of these the one with most neighbours, of
these the first. Method: Brélaz, "New methods to color the vertices of a graph", CACM 22(4), 1979.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.routing.candidates import UNCOLOURED
from wsec.compiler.routing.geometry import footprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Route

_BLOCK = 256  # routes compared with all others at once, which bounds the memory


class Footprints:
    """The cores of many routes, as arrays of rectangles `[routes, 2, 4]`: left, top, right, bottom, exclusive."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._bands = np.array([_corners(route) for route in routes], np.int64).reshape(-1, 2, 4)
        self._boxes = _enclose(self._bands)

    def touching(self, route: Route) -> NDArray[np.intp]:
        """Numbers of the routes that share a core with this one, rising."""
        bands = np.array([_corners(route)], np.int64)
        near = np.nonzero(_overlap(_enclose(bands), self._boxes))[0]
        return near[_any_band(bands, self._bands[near])]

    def conflicts(self) -> list[NDArray[np.intp]]:
        """For each route the numbers of the others that share a core with it, rising."""
        neighbours: list[NDArray[np.intp]] = []
        for start in range(0, len(self._boxes), _BLOCK):
            block = self._boxes[start : start + _BLOCK]
            rows, columns = np.nonzero(_overlap(block[:, None], self._boxes[None]))
            rows += start
            keep = _any_band(self._bands[rows], self._bands[columns]) & (rows != columns)
            rows, columns = rows[keep], columns[keep]
            ends = np.searchsorted(rows, np.arange(start, start + len(block) + 1))
            neighbours.extend(columns[a:b] for a, b in itertools.pairwise(ends))
        return neighbours


def colour(neighbours: Sequence[NDArray[np.intp]], budget: int) -> NDArray[np.int64]:
    """A colour below `budget` for each route, or `UNCOLOURED` where its neighbours have them all.

    Args:
        neighbours: For each route the numbers of those that need another colour.
        budget: How many colours there are, at least 1.
    """
    count = len(neighbours)
    colours = np.full(count, UNCOLOURED, np.int64)
    seen = np.zeros((count, budget), np.bool_)
    degrees = np.array([len(others) for others in neighbours], np.int64)
    urgency = degrees.copy()  # saturation first, degree second; -1 once the route is done
    for _ in range(count):
        route = int(urgency.argmax())
        urgency[route] = -1
        free = int(seen[route].argmin())
        if seen[route, free]:
            continue
        colours[route] = free
        others = neighbours[route]
        others = others[(urgency[others] >= 0) & ~seen[others, free]]
        seen[others, free] = True
        urgency[others] += count
    return colours


def _corners(route: Route) -> list[tuple[int, int, int, int]]:
    return [(band.x, band.y, band.x + band.width, band.y + band.height) for band in footprint(route)]


def _enclose(bands: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([bands[..., :2].min(axis=1), bands[..., 2:].max(axis=1)], axis=-1)


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether rectangles overlap; `a` and `b` broadcast against each other up to the last axis."""
    columns = (a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2])
    rows = (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3])
    return np.asarray(columns & rows)


def _any_band(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any of two bands overlaps any of two others, pair by pair."""
    return np.asarray(_overlap(a[:, :, None], b[:, None, :]).any(axis=(1, 2)))
