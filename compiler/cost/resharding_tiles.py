"""Reshardings within tiles of a line: cores exchange all that their tile holds, where that is all that any of them needs.

A block may be any box of the tensor: a part of the features of several heads, whose elements do not follow each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Bounds = tuple[Counts, Counts]
    Boxes = tuple[
        Counts, Counts, Counts
    ]  # low, high, [layouts, cores, dimensions]; cores of each line, 0 where there are no boxes

NONE: Final = -1


def boxes_along(found: Sequence[Sequence[Bounds]], shape: tuple[int, ...], lines: Counts, side: int) -> Boxes:
    """Blocks along lines of cores, of many layouts. Dimensions that are cut across count whole: all lines move alike.

    Args:
        found: Of each layout, bounds by dimension, as grids of rows x columns that are 1 where all hold the same.
        shape: The view of the tensor.
        lines: Cores of a line of each layout.
        side: 0 from row to row, 1 from column to column.
    """
    low = np.zeros((len(found), int(lines.max(initial=0)), len(shape)), np.int64)
    high = np.zeros_like(low)
    cores = lines.astype(np.int64)
    for layout, bounds in enumerate(found):
        for dimension, ((least, most), extent) in enumerate(zip(bounds, shape, strict=True)):
            if least.shape[1 - side] > 1:
                if least.shape[side] > 1:
                    cores[layout] = 0
                high[layout, :, dimension] = extent
            else:
                low[layout, : lines[layout], dimension] = least.reshape(-1)
                high[layout, : lines[layout], dimension] = most.reshape(-1)
    return low, high, cores


@compiled
def tiles(held: Boxes, needed: Boxes, pairs: Counts) -> Counts:
    """Cores of the shortest tiles that hold all that any of their cores needs, and the most elements of one, [pairs, 2].

    `NONE` where there are none of at most half a line.

    Args:
        held: Blocks along the line, of the sources; those of two cores are equal or have nothing in common.
        needed: The same of the targets.
        pairs: [pairs, (source, target, place of the target's first core on the source's line)].
    """
    found = np.full((len(pairs), 2), NONE)
    for pair in range(len(pairs)):
        source, target, shift = pairs[pair]
        cores, wanting = held[2][source], needed[2][target]
        if cores == 0 or wanting == 0 or shift < 0 or shift + wanting > cores:
            continue
        lengths = np.zeros(2 * held[0].shape[2], np.int64)
        for dimension in range(held[0].shape[2]):
            lengths[2 * dimension] = _first_change(held[0][source, :cores, dimension])
            lengths[2 * dimension + 1] = _first_change(needed[0][target, :wanting, dimension])
        for length in np.sort(lengths):
            if length < 2 or length > cores // 2:
                continue
            most = 0
            for first in range(0, cores, length):
                last = min(first + length, cores)
                elements = _of_tile(
                    held[0][source, first:last],
                    held[1][source, first:last],
                    needed[0][target, max(0, first - shift) : max(0, min(last - shift, wanting))],
                    needed[1][target, max(0, first - shift) : max(0, min(last - shift, wanting))],
                )
                if elements == NONE:
                    most = NONE
                    break
                most = max(most, elements)
            if most != NONE:
                found[pair, 0], found[pair, 1] = length, most
                break
    return found


@compiled
def _first_change(values: Counts) -> int:
    """Cores before a dimension's blocks are others than those of the first core: tiles end where that happens."""
    for core in range(1, len(values)):
        if values[core] != values[0]:
            return core
    return 0


@compiled
def _of_tile(low: Counts, high: Counts, least: Counts, most: Counts) -> int:
    """Elements that the cores of a tile hold together, if that is a box which contains all that they need; else `NONE`."""
    whole = 1
    for dimension in range(low.shape[1]):
        first, last = low[:, dimension].min(), high[:, dimension].max()
        if len(least) and (least[:, dimension].min() < first or most[:, dimension].max() > last):
            return NONE
        whole *= last - first
    together = 0
    for core in range(len(low)):
        together += 0 if _known(low, high, core) else _size(low[core], high[core])
    return whole if together == whole else NONE


@compiled
def _size(low: Counts, high: Counts) -> int:
    size = 1
    for dimension in range(len(low)):
        size *= max(0, high[dimension] - low[dimension])
    return size


@compiled
def _known(low: Counts, high: Counts, core: int) -> bool:
    """Whether a core before this one holds the same block."""
    for before in range(core - 1, -1, -1):
        same = True
        for dimension in range(low.shape[1]):
            if (
                low[core, dimension] != low[before, dimension]
                or high[core, dimension] != high[before, dimension]
            ):
                same = False
                break
        if same:
            return True
    return False
