"""Direct links, the loops over words and cores: compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Indices = NDArray[np.int64]
    Numbers = NDArray[np.int32]


@compiled
def lane_of_classes(
    rows: Numbers, columns: Numbers, begins: Indices, row_classes: int, column_classes: int
) -> tuple[Numbers, bool]:
    """The lane that brings the words of each pair of classes, and whether all words of a pair come along one lane."""
    lanes = np.full((row_classes, column_classes), -1, np.int32)
    for lane in range(len(begins) - 1):
        for place in range(begins[lane], begins[lane + 1]):
            row, column = rows[place], columns[place]
            if lanes[row, column] != lane:
                if lanes[row, column] >= 0:
                    return lanes, False
                lanes[row, column] = lane
    return lanes, True


@compiled
def needs_are_in_streams(
    lanes: Numbers,
    group: Numbers,
    row_starts: Indices,
    row_classes: Numbers,
    column_starts: Indices,
    column_classes: Numbers,
) -> bool:
    """Whether every pair of classes that a core needs comes along the lane of its group."""
    height, width = group.shape
    for row in range(height):
        for column in range(width):
            for each in row_classes[row_starts[row] : row_starts[row + 1]]:
                for other in column_classes[column_starts[column] : column_starts[column + 1]]:
                    if lanes[each, other] != group[row, column]:
                        return False
    return True


@compiled
def count_group_needs(
    elements: Indices,
    lane_of_order: Numbers,
    order: Indices,
    lanes: int,
    row_starts: Indices,
    row_classes: Numbers,
    column_starts: Indices,
    column_classes: Numbers,
) -> Indices:
    """Elements of all pairs of classes that some core of a group needs, [lanes]; cores come group by group."""
    words = np.zeros(lanes, np.int64)
    counted = np.full(elements.shape, -1, np.int32)
    width = len(column_starts) - 1
    for number in range(len(order)):
        lane = lane_of_order[number]
        row, column = order[number] // width, order[number] % width
        for each in row_classes[row_starts[row] : row_starts[row + 1]]:
            for other in column_classes[column_starts[column] : column_starts[column + 1]]:
                if counted[each, other] != lane:
                    counted[each, other] = lane
                    words[lane] += elements[each, other]
    return words
