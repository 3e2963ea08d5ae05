"""Which layouts hold what others need, pair by pair: the loops over lines of cores, compiled.

Bounds of blocks lie behind each other in one array of first elements and one of first elements behind; a block array is a grid of
rows x columns of a rectangle, 1 where all rows or columns hold the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.int64]
    Grids = tuple[Array, Array, Array]  # low, high, [elements]; [layouts, dimensions, (start, rows, columns)]
    Runs = tuple[
        Array, Array, Array
    ]  # low, high, [elements]; [layouts, (start, length)], length 0 where blocks are no runs

NONE = -1


@compiled
def covered(held: Grids, needed: Grids, pairs: Array, sizes: Array) -> NDArray[np.bool_]:
    """Whether every core of the target's rectangle holds what it needs, [pairs].

    Args:
        held: Blocks of the sources.
        needed: Blocks of the targets.
        pairs: [pairs, (source, target, row of the target in the source, column)].
        sizes: [targets, (rows, columns)] of the targets' rectangles.
    """
    found = np.ones(len(pairs), np.bool_)
    low, high, here = held
    least, most, there = needed
    for pair in range(len(pairs)):
        source, target, down, right = pairs[pair]
        for dimension in range(here.shape[1]):
            start, rows, columns = here[source, dimension]
            first, rows_needed, columns_needed = there[target, dimension]
            height = rows_needed if rows == 1 else sizes[target, 0]
            width = columns_needed if columns == 1 else sizes[target, 1]
            for row in range(height):
                of_row = start + (0 if rows == 1 else row + down) * columns
                of_needed = first + (0 if rows_needed == 1 else row) * columns_needed
                for column in range(width):
                    at = of_row + (0 if columns == 1 else column + right)
                    wanted = of_needed + (0 if columns_needed == 1 else column)
                    if least[wanted] < most[wanted] and (low[at] > least[wanted] or high[at] < most[wanted]):
                        found[pair] = False
                        break
                if not found[pair]:
                    break
            if not found[pair]:
                break
    return found


@compiled
def segments(held: Runs, needed: Runs, pairs: Array) -> Array:
    """Cores of the segments in which all that need something of each other lie together, and in how many tilings, [pairs, 2].

    `NONE` where segments are as long as the line or blocks are no runs; 0 where nothing is needed.

    Args:
        held: Runs along the line, of the sources.
        needed: The same of the targets.
        pairs: [pairs, (source, target, place of the target's first core on the source's line)].
    """
    found = np.zeros((len(pairs), 2), np.int64)
    low, high, here = held
    least, most, there = needed
    for pair in range(len(pairs)):
        source, target, shift = pairs[pair]
        start, cores = here[source]
        begin, wanting = there[target]
        if cores == 0 or wanting == 0:
            found[pair, 0] = NONE
            continue
        reach, tile = 1, 0
        first = behind = 0
        for core in range(wanting):
            if least[begin + core] >= most[begin + core]:
                continue
            first = _up_to(high, (start, cores), least[begin + core], first)
            behind = _up_to(low, (start, cores), most[begin + core] - 1, behind)
            reach = max(reach, core + shift - first, behind - 1 - core - shift)
            tile = max(tile, behind - first)
        if tile == 0:
            continue
        together = tile > 1
        for core in range(wanting if together else 0):
            if least[begin + core] >= most[begin + core]:
                continue
            first = _up_to(high, (start, cores), least[begin + core], first)
            behind = _up_to(low, (start, cores), most[begin + core] - 1, behind)
            if first // tile != (behind - 1) // tile or (core + shift) // tile != first // tile:
                together = False
                break
        length = tile if together else 2 * reach
        found[pair, 0] = NONE if length >= cores else length
        found[pair, 1] = 1 if together else 2
    return found


@compiled
def _up_to(values: Array, line: tuple[int, int], bound: int, near: int) -> int:
    """How many of the values of a line, which rise, are at most `bound`; neighbours ask for nearly the same."""
    start, cores = line
    for at in range(near, min(near + 2, cores + 1)):
        if (at == 0 or values[start + at - 1] <= bound) and (at == cores or values[start + at] > bound):
            return at
    return int(np.searchsorted(values[start : start + cores], bound, side="right"))
