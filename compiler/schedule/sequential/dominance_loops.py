"""Which ways of a turn another one takes no more cycles than, pair by pair: the loops of `dominance`, compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]


@compiled
def least_rows(features: Floats, order: Integers) -> Flags:
    """Rows that no other row is below or equal to in all columns, [rows]; of equal rows the first in `order`.

    Args:
        features: [rows, columns].
        order: Of the rows, by rising sums: a row is below another only if its sum is.
    """
    left = np.zeros(len(features), np.bool_)
    kept = np.empty(len(features), np.int64)
    count = 0
    for row in order:
        above = False
        for at in range(count):
            other = kept[at]
            above = True
            for column in range(features.shape[1]):
                if features[other, column] > features[row, column]:
                    above = False
                    break
            if above:
                break
        if not above:
            left[row] = True
            kept[count] = row
            count += 1
    return left


@compiled
def not_outweighed(features: Floats, starts: Integers, order: Integers) -> Flags:
    """Ways of which no other one that is left takes at most as many cycles for any ways of the neighbours, [ways].

    Args:
        features: [ways, own cycles, what no cycles outweigh, and cycles towards the ways of each neighbour].
        starts: The first column of each neighbour, and the number of columns.
        order: In which ways are tried.
    """
    neighbours = len(starts) - 1
    least = np.zeros((len(features), max(neighbours, 1)), np.int64)
    for way in range(len(features)):
        for near in range(neighbours):
            least[way, near] = starts[near] + features[way, starts[near] : starts[near + 1]].argmin()
    left = np.ones(len(features), np.bool_)
    for way in order:
        left[way] = False
        outweighed = False
        for other in range(len(features)):
            if left[other] and _outweighs(features, starts, least, other, way):
                outweighed = True
                break
        left[way] = not outweighed
    return left


@compiled
def _outweighs(features: Floats, starts: Integers, least: Integers, other: int, way: int) -> bool:
    """Whether one way takes at most as many cycles as another, whatever the neighbours do."""
    for column in range(1, starts[0]):
        if features[other, column] > features[way, column]:
            return False
    more = features[other, 0] - features[way, 0]
    for near in range(
        len(starts) - 1
    ):  # what it costs at one way of each neighbour, which is the most as a rule
        column = least[way, near]
        more += features[other, column] - features[way, column]
    if more > 0:
        return False
    for near in range(len(starts) - 1):
        column = least[way, near]
        some = features[other, column] - features[way, column]
        most = some
        for column in range(starts[near], starts[near + 1]):
            most = max(most, features[other, column] - features[way, column])
        more += most - some
        if more > 0:
            return False
    return bool(more <= 0)
