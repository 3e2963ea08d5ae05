"""The cores of many routes as arrays of rectangles, and which routes share a core.

Nested lanes fill the square in which they turn, so the cores of a route are two bands without holes: from the source
through the corner, and from the corner to the target. Routes share a core where bands overlap.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route

_BLOCK = 256  # routes compared with all others at once, which bounds the memory


class Footprints:
    """Bands `[routes, 2, 4]` of the routes given and added: left, top, right, bottom, the last two exclusive."""

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
    source = np.array([_corners(route.source) for route in routes], np.int64).reshape(-1, 4)
    target = np.array([_corners(route.target) for route in routes], np.int64).reshape(-1, 4)
    vertical_first = np.array([[route.vertical_first] for route in routes], np.bool_).reshape(-1, 1)
    # The lanes turn in the columns of one strip and the rows of the other; straight ones at either end.
    corner = np.empty_like(source)
    corner[:, 0::2] = np.where(vertical_first, source[:, 0::2], target[:, 0::2])
    corner[:, 1::2] = np.where(vertical_first, target[:, 1::2], source[:, 1::2])
    first, second = np.stack([source, corner], axis=1), np.stack([corner, target], axis=1)
    return np.stack([_enclose(first), _enclose(second)], axis=1)


def _corners(strip: Rectangle) -> tuple[int, int, int, int]:
    return strip.x, strip.y, strip.x + strip.width, strip.y + strip.height


def _enclose(rectangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bounding boxes `[n, 4]` of rectangles `[n, any, 4]`."""
    return np.concatenate([rectangles[..., :2].min(axis=1), rectangles[..., 2:].max(axis=1)], axis=-1)


def _overlap(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether rectangles overlap; `a` and `b` broadcast against each other up to the last axis."""
    columns = (a[..., 0] < b[..., 2]) & (b[..., 0] < a[..., 2])
    rows = (a[..., 1] < b[..., 3]) & (b[..., 1] < a[..., 3])
    return np.asarray(columns & rows)


def _any_band(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any of two bands overlaps any of two others, pair by pair."""
    return np.asarray(_overlap(a[:, :, None], b[:, None, :]).any(axis=(1, 2)))
