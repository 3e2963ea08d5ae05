"""From a column plan to rectangles: boxes of a slicing tree, its flips, and the option each kernel takes in its box.

Kernels are consecutive everywhere in the tree, so a node is a range of positions, and mirroring a node shifts ranges:
no tree is walked while wires are being shortened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.problem import Rectangle
    from wsec.compiler.placement.slicing.order_preserving import ColumnPlan, GroupCurves

_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True)
class Cut:
    """A node of the slicing tree: children side by side (`axis` 0) or stacked (1), each a range and its extent."""

    axis: int
    children: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Boxes:
    """A box for each kernel, `[kernels, 4]` of x, y, width, height, and the cuts that made them, largest first."""

    box: NDArray[np.int64]
    cuts: list[Cut]


def empty_boxes(count: int) -> Boxes:
    """No kernel has a box yet."""
    return Boxes(np.zeros((count, 4), dtype=np.int64), [])


def add_columns(boxes: Boxes, groups: GroupCurves, plan: ColumnPlan, start: int, region: Rectangle) -> None:
    """Fill `region` with the columns of `plan` from kernel `start` on; what width is left goes to the last."""
    x, low = region.x, start
    spans: list[tuple[int, int, int]] = []
    for index, (end, width) in enumerate(zip(plan.ends, plan.widths, strict=True)):
        last = index == len(plan.ends) - 1
        extent = region.right - x if last else width
        spans.append((low, end, extent))
        x, low = x + extent, end
    boxes.cuts.append(Cut(0, tuple(spans)))
    x = region.x
    for index, (low, high, width) in enumerate(spans):
        stacked = _stack(groups, low, high, width, region.height)
        column = Cut(1, tuple(stacked))
        boxes.cuts.append(column)
        y = region.y
        for first, behind, height in stacked:
            _fill(boxes, groups, (first, behind), (x, y, width, height))
            y += height
        if index % 2:
            _mirror(boxes, column)
        x += width


def _stack(groups: GroupCurves, low: int, high: int, width: int, height: int) -> list[tuple[int, int, int]]:
    """The groups of one column, top to bottom: (first, behind, height); the last takes the rows left over."""
    width = min(width, groups.heights[0].shape[1] - 1)
    best = [0] + [1 << 40] * (high - low)
    size = [0] * (high - low + 1)
    for end in range(1, high - low + 1):
        for count in range(1, min(groups.longest, end) + 1):
            total = best[end - count] + int(groups.heights[count - 1][low + end - count, width])
            if total < best[end]:
                best[end], size[end] = total, count
    found: list[tuple[int, int, int]] = []
    end = high - low
    free = height - best[end]
    while end:
        first = end - size[end]
        extent = best[end] - best[first] + (0 if found else free)
        found.append((low + first, low + end, extent))
        end = first
    return found[::-1]


def _fill(
    boxes: Boxes, groups: GroupCurves, kernels: tuple[int, int], area: tuple[int, int, int, int]
) -> None:
    """Divide `area` (x, y, width, height) among consecutive kernels, as the curves say is possible."""
    low, high = kernels
    x, y, width, height = area
    if high - low == 1:
        boxes.box[low] = area
        return
    axis, first, extent = _cut(groups, low, high, width, height)
    middle = low + first
    rest = (width, height)[axis] - extent
    boxes.cuts.append(Cut(axis, ((low, middle, extent), (middle, high, rest))))
    if axis == 0:
        _fill(boxes, groups, (low, middle), (x, y, extent, height))
        _fill(boxes, groups, (middle, high), (x + extent, y, rest, height))
    else:
        _fill(boxes, groups, (low, middle), (x, y, width, extent))
        _fill(boxes, groups, (middle, high), (x, y + extent, width, rest))


def _cut(groups: GroupCurves, low: int, high: int, width: int, height: int) -> tuple[int, int, int]:
    """How to cut a box: axis, kernels in the first part, its extent. Prefers the cut that leaves most room."""
    size = high - low
    best: tuple[float, int, int, int] | None = None
    for axis, curves, across, available in (
        (1, groups.heights, width, height),
        (0, groups.widths, height, width),
    ):
        at = min(across, curves[0].shape[1] - 1)
        for first in range(1, size):
            one = int(curves[first - 1][low, at])
            two = int(curves[size - first - 1][low + first, at])
            free = (available - one - two) / available
            if free >= 0 and (best is None or free > best[0]):
                best = (free, axis, first, one)
    if best is None:
        msg = f"no cut of kernels {low} ... {high - 1} fits {width} x {height}, although their curve says so"
        raise AssertionError(msg)
    return best[1:]


def _mirror(boxes: Boxes, cut: Cut) -> None:
    """Reverse the order of a cut's children within its extent; the children themselves stay as they are."""
    for low, high, shift in _shifts(boxes.box, cut):
        boxes.box[low:high, cut.axis] += shift


def _shifts(box: NDArray[np.int64], cut: Cut) -> list[tuple[int, int, int]]:
    """By how much each child moves when the order is reversed, whichever order they are in now."""
    starts = [int(box[low:high, cut.axis].min()) for low, high, _ in cut.children]
    origin = min(starts)
    behind = max(start + extent for start, (_, _, extent) in zip(starts, cut.children, strict=True))
    return [
        (low, high, origin + behind - start - extent - start)
        for start, (low, high, extent) in zip(starts, cut.children, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class NetArrays:
    """Nets as columns of numbers, for the vectorised wirelength: ends by position, and weights."""

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]


def box_wirelength(nets: NetArrays, box: NDArray[np.int64]) -> float:
    """Weighted L1 distance of box centres."""
    centre = box[:, :2] + box[:, 2:] / 2
    return float(nets.weight @ np.abs(centre[nets.source] - centre[nets.target]).sum(axis=1))


def shorten_by_flips(boxes: Boxes, nets: NetArrays, rounds: int = _ROUNDS) -> float:
    """Mirror cuts, large ones first, for as long as that shortens the wires; returns the wirelength reached."""
    current = box_wirelength(nets, boxes.box)
    for _ in range(rounds):
        before = current
        for cut in boxes.cuts:
            if len(cut.children) < 2:
                continue
            shifts = _shifts(boxes.box, cut)
            _shift(boxes.box, cut.axis, shifts, 1)
            flipped = box_wirelength(nets, boxes.box)
            if flipped < current - 1e-9 * before:
                current = flipped
            else:
                _shift(boxes.box, cut.axis, shifts, -1)
        if current >= before:
            break
    return current


def _shift(box: NDArray[np.int64], axis: int, shifts: Sequence[tuple[int, int, int]], sign: int) -> None:
    for low, high, shift in shifts:
        box[low:high, axis] += sign * shift
