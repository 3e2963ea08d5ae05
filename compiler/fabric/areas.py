"""Settings of many routers as few rectangles: runs of equal neighbours, merged along rows and columns.

A setting is a number; `Settings` gives numbers to what a `RouterArea` holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import RouterArea

if TYPE_CHECKING:
    from numpy.typing import NDArray

Rectangles = "NDArray[np.int64]"  # [n, 5]: x, y, width, height, setting
NO_SETTING = 0
_X, _Y, _WIDTH, _HEIGHT, _SETTING = range(5)


@dataclass(slots=True)
class Settings:
    """Numbers from 1 on for the positions of switches, as they are met; equal positions have equal numbers."""

    _numbers: dict[tuple[str, ...], int] = field(default_factory=dict)

    def number(self, positions: tuple[str, ...]) -> int:
        """The number of these positions."""
        return self._numbers.setdefault(positions, len(self._numbers) + 1)

    def areas(self, rectangles: NDArray[np.int64]) -> tuple[RouterArea, ...]:
        """The records of rectangles, in reading order."""
        positions = [(), *self._numbers]
        order = np.lexsort((rectangles[:, _X], rectangles[:, _Y]))
        return tuple(
            RouterArea(x, y, width, height, positions[setting])
            for x, y, width, height, setting in rectangles[order].tolist()
        )


def painted(settings: NDArray[np.int64], x: int, y: int) -> NDArray[np.int64]:
    """Rectangles, [n, 5], of the numbers `settings`, [height, width], of routers from (x, y) on; `NO_SETTING` has none.

    Runs along rows are merged over rows, or runs along columns over columns: the way that takes fewer.
    """
    wide = _merged(_runs(settings), rows=True)
    tall = _merged(_transposed(_runs(settings.T)), rows=False)
    found = wide if len(wide) <= len(tall) else tall
    return found + np.array([x, y, 0, 0, 0], np.int64)


def merged(rectangles: NDArray[np.int64]) -> NDArray[np.int64]:
    """Disjoint rectangles, [n, 5], with those made one that lie side by side and have the same extent and setting."""
    return _merged(_merged(rectangles, rows=True), rows=False)


def _runs(settings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs of equal numbers along rows, one row high."""
    changes = np.ones(settings.shape, np.bool_)
    changes[:, 1:] = settings[:, 1:] != settings[:, :-1]
    y, x = np.nonzero(changes)
    flat = y * settings.shape[1] + x
    width = np.diff(flat, append=settings.size)
    found = np.stack([x, y, width, np.ones_like(x), settings[y, x]], axis=1)
    return np.asarray(found[found[:, _SETTING] != NO_SETTING])


def _transposed(rectangles: NDArray[np.int64]) -> NDArray[np.int64]:
    return rectangles[:, [_Y, _X, _HEIGHT, _WIDTH, _SETTING]]


def _merged(rectangles: NDArray[np.int64], *, rows: bool) -> NDArray[np.int64]:
    """Rectangles above one another (`rows`) or beside one another made one."""
    at, extent = (_Y, _HEIGHT) if rows else (_X, _WIDTH)
    other, other_extent = (_X, _WIDTH) if rows else (_Y, _HEIGHT)
    if not len(rectangles):
        return rectangles
    keys = rectangles[:, [other, other_extent, _SETTING]]
    order = np.lexsort((rectangles[:, at], keys[:, 2], keys[:, 1], keys[:, 0]))
    rectangles, keys = rectangles[order], keys[order]
    begins = np.ones(len(rectangles), np.bool_)
    ends = rectangles[:, at] + rectangles[:, extent]
    begins[1:] = (keys[1:] != keys[:-1]).any(axis=1) | (rectangles[1:, at] != ends[:-1])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(rectangles)) - 1
    found = rectangles[first].copy()
    found[:, extent] = ends[last] - rectangles[first, at]
    return found
