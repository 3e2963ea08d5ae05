"""The cores of many routes as arrays of rectangles, and which routes share a core.

Nested lanes fill the squares in which they turn, so the cores of a route are up to three bands without holes. Routes
share a core where bands overlap.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.routing.geometry import footprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Route

_BLOCK = 256  # routes compared with all others at once, which bounds the memory


class Footprints:
    """Bands `[routes, 3, 4]` of the routes given and added: left, top, right, bottom, the last two exclusive."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._bands = _bands(routes)
        self._boxes = _enclose(self._bands)

    def add(self, routes: Sequence[Route]) -> None:
        """Append routes; they get the next numbers."""
        bands = _bands(routes)
        self._bands = np.concatenate([self._bands, bands])
        self._boxes = np.concatenate([self._boxes, _enclose(bands)])

    def touching(self, route: Route) -> NDArray[np.intp]:
        """Numbers of the routes that share a core with this one, rising."""
        bands = _bands([route])
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


def _bands(routes: Sequence[Route]) -> NDArray[np.int64]:
    """Routes of fewer bands have their last one again."""
    return np.array([_three_bands(route) for route in routes], np.int64).reshape(-1, 3, 4)


def _three_bands(route: Route) -> list[tuple[int, int, int, int]]:
    bands = [(band.x, band.y, band.x + band.width, band.y + band.height) for band in footprint(route)]
    return bands + bands[-1:] * (3 - len(bands))


def _enclose(rectangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bounding boxes `[n, 4]` of rectangles `[n, any, 4]`."""
    return np.concatenate([rectangles[..., :2].min(axis=1), rectangles[..., 2:].max(axis=1)], axis=-1)


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether rectangles overlap; `a` and `b` broadcast against each other up to the last axis."""
    columns = (a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2])
    rows = (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3])
    return np.asarray(columns & rows)


def _any_band(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any band of one route overlaps any of the other, pair by pair."""
    return np.asarray(_overlap(a[:, :, None], b[:, None, :]).any(axis=(1, 2)))
