"""From a floorplan to the slicing tree behind it, where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.placement.annealing.tree import ABOVE, AXIS, BESIDE, LEFT, MIRRORED, PARENT, RIGHT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.problem import Rectangle


def tree_of(placed: Sequence[Rectangle]) -> tuple[NDArray[np.int64], int] | None:
    """A slicing tree, see `annealing.tree`, and its root; None if some part has no cut from side to side.

    Parallel cuts are nested in halves, so that the tree is as low as it can be.
    """
    count = len(placed)
    boxes = np.array([(box.x, box.y, box.right, box.bottom) for box in placed], dtype=np.int64)
    tree = np.full((5, 2 * count - 1), -1, dtype=np.int64)
    tree[MIRRORED] = 0
    behind = count
    root = -1
    tasks: list[tuple[NDArray[np.int64], int, int]] = [(np.arange(count), -1, LEFT)]
    while tasks:
        kernels, parent, side = tasks.pop()
        if len(kernels) == 1:
            node = int(kernels[0])
        else:
            found = _cut(boxes, kernels)
            if found is None:
                return None
            axis, first, second = found
            node, behind = behind, behind + 1
            tree[AXIS, node] = axis
            tasks += [(first, node, LEFT), (second, node, RIGHT)]
        tree[PARENT, node] = parent
        if parent < 0:
            root = node
        else:
            tree[side, parent] = node
    return tree, root


def _cut(
    boxes: NDArray[np.int64], kernels: NDArray[np.int64]
) -> tuple[int, NDArray[np.int64], NDArray[np.int64]] | None:
    """The axis and the kernels on both sides of the cut nearest to the middle, by number of kernels."""
    best: tuple[int, int, NDArray[np.int64], int] | None = None
    for axis, low in ((BESIDE, 0), (ABOVE, 1)):
        order = kernels[np.argsort(boxes[kernels, low], kind="stable")]
        ends = np.maximum.accumulate(boxes[order, low + 2])
        cuts = np.flatnonzero(boxes[order[1:], low] >= ends[:-1]) + 1
        if len(cuts):
            middle = int(cuts[np.argmin(np.abs(2 * cuts - len(order)))])
            found = (abs(2 * middle - len(order)), axis, order, middle)
            if best is None or found[0] < best[0]:
                best = found
    if best is None:
        return None
    _, axis, order, middle = best
    return axis, order[:middle], order[middle:]
