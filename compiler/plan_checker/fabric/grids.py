"""Compiled: the areas of one colour painted on the region, who lies on whom, and who leads to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]
    Bits = NDArray[np.uint8]
    Booleans = NDArray[np.bool_]

RIGHT = np.array([0, 1, 0, -1], np.int64)
"""Columns from a router to its neighbour behind each port."""
DOWN = np.array([-1, 0, 1, 0], np.int64)
"""Rows to the same."""


@compiled
def paint(grid: Numbers, numbers: Integers, bounds: Integers, meetings: Integers) -> int:
    """Write each area's number on its cores.

    Args:
        grid: -1 where there is nothing yet: [height, width].
        numbers: Of the areas to paint.
        bounds: Of all areas, inside the grid: [n, 4].
        meetings: Filled with area, other area, first x and y, cores in both; as many as fit: [m, 5].

    Returns:
        The number of pairs that meet.
    """
    found = 0
    for number in numbers:
        x, y, width, height = bounds[number]
        for row in range(y, y + height):
            for column in range(x, x + width):
                other = grid[row, column]
                if other >= 0:
                    found = _note_meeting(meetings, found, number, other, column, row)
                grid[row, column] = number
    return found


@compiled
def _note_meeting(meetings: Integers, found: int, area: int, other: int, x: int, y: int) -> int:
    for number in range(min(found, len(meetings)) - 1, -1, -1):
        if meetings[number, 0] != area:
            break
        if meetings[number, 1] == other:
            meetings[number, 4] += 1
            return found
    if found < len(meetings):
        meetings[found] = np.array([area, other, x, y, 1])
    return found + 1


@compiled
def loose_ends(
    grid: Numbers,
    numbers: Integers,
    bounds: Integers,
    takes: Bits,
    gives: Bits,
    circuit: Numbers,
    found: Integers,
) -> int:
    """Ports of areas that lead to, or are fed by, no router of their circuit.

    Inside an area all neighbours are alike, so one comparison and the cores along its sides are enough.

    Args:
        grid: Of `paint`.
        numbers: Of the areas on it.
        bounds: Of all areas.
        takes: Ports that each area takes words from, a bit each; [n].
        gives: Likewise, that it gives words to.
        circuit: Of each area.
        found: Filled with area, x, y, port, and 0 for an output, 1 for an input; as many as fit: [m, 5].

    Returns:
        How many there are.
    """
    height, width = grid.shape
    total = 0
    for number in numbers:
        x, y, wide, high = bounds[number]
        for port in range(4):
            out, into = gives[number] >> port & 1, takes[number] >> port & 1
            if not out and not into:
                continue
            back = (port + 2) % 4
            deep = wide if port % 2 else high
            if deep > 1:
                total = _note_loose(
                    found,
                    total,
                    number,
                    x + (port == 3),
                    y + (port == 0),
                    port,
                    out and not takes[number] >> back & 1,
                    into and not gives[number] >> back & 1,
                )
            for step in range(high if port % 2 else wide):
                column = x + (wide - 1 if port == 1 else 0) + (0 if port % 2 else step)
                row = y + (high - 1 if port == 2 else 0) + (step if port % 2 else 0)
                beside, under = column + RIGHT[port], row + DOWN[port]
                if not (0 <= beside < width and 0 <= under < height):
                    bad_out, bad_into = out and port != 1, into and port != 3
                else:
                    other = grid[under, beside]
                    same = other >= 0 and circuit[other] == circuit[number]
                    bad_out = out and not (same and takes[other] >> back & 1)
                    bad_into = into and not (same and gives[other] >> back & 1)
                total = _note_loose(found, total, number, column, row, port, bad_out, bad_into)
    return total


@compiled
def _note_loose(
    found: Integers, total: int, area: int, x: int, y: int, port: int, bad_out: bool, bad_into: bool
) -> int:
    for side in range(2):
        if bad_into if side else bad_out:
            if total < len(found):
                found[total] = np.array([area, x, y, port, side])
            total += 1
    return total


@compiled
def neighbours(grid: Numbers, numbers: Integers, bounds: Integers, kind: Numbers, beside: Booleans) -> None:
    """Which kinds of areas have neighbours of which kinds.

    Args:
        grid: Of `paint`.
        numbers: Of the areas on it.
        bounds: Of all areas.
        kind: Of each area, -1 for those that are left out.
        beside: Whether a router of one kind has one of another behind a port; written: [4, kinds, kinds].
    """
    height, width = grid.shape
    for number in numbers:
        x, y, wide, high = bounds[number]
        own = kind[number]
        if own < 0:
            continue
        for port in range(4):
            if (wide if port % 2 else high) > 1:
                beside[port, own, own] = True
            for step in range(high if port % 2 else wide):
                column = x + (wide if port == 1 else -1 if port == 3 else step)
                row = y + (high if port == 2 else -1 if port == 0 else step)
                if 0 <= column < width and 0 <= row < height and grid[row, column] >= 0:
                    other = kind[grid[row, column]]
                    if other >= 0:
                        beside[port, own, other] = True
