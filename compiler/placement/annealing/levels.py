"""The kernels' exact shape curves at several time limits, as the annealing takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.native import compiled
from wsec.compiler.placement.annealing.tree import Leaves
from wsec.compiler.placement.bounds import times_between
from wsec.compiler.placement.shape_curves import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.shape_curves import ShapeTable

_LEVELS: Final = 64
_BYTES: Final = 1 << 26


def choose_levels(
    tables: Sequence[ShapeTable], low: int, high: int, sides: tuple[int, int]
) -> NDArray[np.int64]:
    """Times in `low` ... `high` at which some curve changes; both ends and a selection between, if there are many.

    The selection is denser near `low`, and so small that the curves stay in memory.
    """
    times = np.array(sorted({low, *times_between(tables, low, high)}), dtype=np.int64)
    kinds = len({id(table) for table in tables})
    most = max(2, min(_LEVELS, _BYTES // (kinds * 8 * (min(sides) + 1))))
    if len(times) <= most:
        return times
    near = np.arange(most // 2)
    far = np.searchsorted(times, np.geomspace(max(1, times[len(near)]), times[-1], most - len(near)))
    chosen: NDArray[np.int64] = times[np.unique(np.concatenate([near, np.minimum(far, len(times) - 1)]))]
    return chosen


def make_leaves(tables: Sequence[ShapeTable], times: NDArray[np.int64], width: int, height: int) -> Leaves:
    """Curves of each kind of kernel at each time; boxes up to `width` x `height`. Kernels that share a table are equal."""
    known = {id(table): table for table in tables}
    index = {key: at for at, key in enumerate(known)}
    shape = (len(times), len(known))
    points = min(width, height) + 1
    leaves = Leaves(
        np.array([index[id(table)] for table in tables], dtype=np.int64),
        np.zeros((*shape, points), dtype=np.int32),
        np.zeros((*shape, points), dtype=np.int32),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
    )
    for kind, table in enumerate(known.values()):
        counts = np.searchsorted(table.cycles, times, side="right")
        fill_levels(leaves, kind, table.widths, table.heights, counts, np.array([width, height]))
    return leaves


@compiled
def fill_levels(
    leaves: Leaves,
    kind: int,
    widths: NDArray[np.int32],
    heights: NDArray[np.int32],
    counts: NDArray[np.int64],
    sides: NDArray[np.int64],
) -> None:
    """Enter the curves of one kind: its first `counts[level]` options, which are sorted by time, belong to a level."""
    least = np.full(sides[0] + 1, NEVER, dtype=np.int32)
    done = 0
    for level in range(len(counts)):
        while done < counts[level]:
            if widths[done] <= sides[0]:
                least[widths[done]] = min(least[widths[done]], heights[done])
            done += 1
        count, lowest, area = 0, np.int32(sides[1] + 1), np.int64(1) << 60
        for width in range(1, sides[0] + 1):
            if least[width] < lowest:
                lowest = least[width]
                leaves.width[level, kind, count] = width
                leaves.height[level, kind, count] = lowest
                area = min(area, np.int64(width) * lowest)
                count += 1
        leaves.points[level, kind] = count
        leaves.area[level, kind] = area
