"""How core programs walk through loops: which is the vector, which go around it, and how often they turn.

The rule of docs/core-programs.md, for many splits at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]

_LOOP_DEPTH = 4  # loops that a core program nests; those beyond are written out


@compiled
def walks(sizes: Counts, summed: NDArray[np.bool_]) -> Counts:
    """Walk loops of these sizes by one vector instruction.

    The longest loop is the vector, the longest of the others the one around it alone, and the rest go around these, the
    shortest outermost. Of loops that are summed, which keep their order, only the last that is left may go further in.

    Args:
        sizes: [splits, loops], loops that are summed last and in their order.
        summed: [loops].

    Returns:
        [splits, 3]: elements of a vector, vectors, and turns of loops that are not around one instruction alone.
    """
    found = np.ones((len(sizes), 3), np.int64)
    for split in range(len(sizes)):
        left = sizes[split] > 1
        depth = int(left.sum())
        found[split, 2] = 0
        for place in range(min(depth, 2)):
            longest = _longest(sizes[split], summed, left)
            left[longest] = False
            found[split, place] = sizes[split, longest]
        turns = 1
        for around in range(depth - 2):
            shortest = _shortest(sizes[split], summed, left)
            left[shortest] = False
            turns *= sizes[split, shortest]
            if around >= depth - 1 - _LOOP_DEPTH:
                found[split, 2] += turns
        found[split, 1] *= turns
    return found


@compiled
def _longest(sizes: Counts, summed: NDArray[np.bool_], left: NDArray[np.bool_]) -> int:
    """The longest loop that may stand furthest in; the last of several, and rather one that is not summed."""
    longest, last_summed = -1, True
    for loop in range(len(sizes) - 1, -1, -1):
        if not left[loop] or (summed[loop] and not last_summed):
            continue
        if summed[loop]:
            last_summed = False
        if (
            longest < 0
            or sizes[loop] > sizes[longest]
            or (sizes[loop] == sizes[longest] and summed[longest] and not summed[loop])
        ):
            longest = loop
    return longest


@compiled
def _shortest(sizes: Counts, summed: NDArray[np.bool_], left: NDArray[np.bool_]) -> int:
    """The shortest loop that may stand furthest out; the first of several."""
    shortest, first_summed = -1, True
    for loop in range(len(sizes)):
        if not left[loop] or (summed[loop] and not first_summed):
            continue
        if summed[loop]:
            first_summed = False
        if shortest < 0 or sizes[loop] < sizes[shortest]:
            shortest = loop
    return shortest
