"""How far a floorplan is from what is demanded of it, as annealing counts it; compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.demands import Demands
    from wsec.compiler.placement.problem import Rectangle


class DemandArrays(NamedTuple):
    """Demands in the coordinates of the rectangle that the floorplan fills, int64, a row each.

    `areas` hold kernel, left, top, right and bottom; `edges` kernel and whether left, top, right and bottom will do;
    `pairs` two kernels or fixed rectangles.
    """

    areas: NDArray[np.int64]
    edges: NDArray[np.int64]
    pairs: NDArray[np.int64]


def demand_arrays(demands: Demands, space: Rectangle) -> DemandArrays:
    """The demands on a floorplan that fills `space`; only the sides that `space` has in common with the grid count."""
    grid = demands.grid
    there = {
        "left": space.x == grid.x,
        "top": space.y == grid.y,
        "right": space.right == grid.right,
        "bottom": space.bottom == grid.bottom,
    }
    return DemandArrays(
        _rows(
            [
                (at, area.x - space.x, area.y - space.y, area.right - space.x, area.bottom - space.y)
                for at, area in demands.areas
            ],
            5,
        ),
        _rows([(at, *(side in sides and there[side] for side in there)) for at, sides in demands.edges], 5),
        _rows(demands.pairs, 2),
    )


def _rows(rows: Sequence[tuple[int, ...]], columns: int) -> NDArray[np.int64]:
    return np.array(rows, dtype=np.int64).reshape(-1, columns)


@compiled
def penalty(demands: DemandArrays, box: NDArray[np.int64], width: int, height: int) -> int:
    """By how many columns and rows boxes miss what is demanded, where the floorplan is `width` x `height`; 0: nowhere."""
    total = 0
    for row in range(len(demands.areas)):
        kernel, left, top, right, bottom = demands.areas[row]
        total += max(0, left - box[kernel, 0]) + max(0, box[kernel, 0] + box[kernel, 2] - right)
        total += max(0, top - box[kernel, 1]) + max(0, box[kernel, 1] + box[kernel, 3] - bottom)
    for row in range(len(demands.edges)):
        kernel, left, top, right, bottom = demands.edges[row]
        least = width + height
        least = min(least, box[kernel, 0]) if left else least
        least = min(least, box[kernel, 1]) if top else least
        least = min(least, width - box[kernel, 0] - box[kernel, 2]) if right else least
        least = min(least, height - box[kernel, 1] - box[kernel, 3]) if bottom else least
        total += least
    for row in range(len(demands.pairs)):
        one, other = demands.pairs[row]
        across = max(box[one, 0], box[other, 0])
        across -= min(box[one, 0] + box[one, 2], box[other, 0] + box[other, 2])
        down = max(box[one, 1], box[other, 1])
        down -= min(box[one, 1] + box[one, 3], box[other, 1] + box[other, 3])
        total += max(0, across) + max(0, down) + (1 if min(across, down) >= 0 else 0)
    return total
