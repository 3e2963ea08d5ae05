"""Links of which each core takes what it needs out of the stream that passes it: where that is possible, and what streams hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.direct_loops import count_group_needs, lane_of_classes, needs_are_in_streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from wsec.compiler.fabric.needs import SideNeeds
    from wsec.compiler.sharding import Side

    Numbers = NDArray[np.int32]


def in_own_streams(
    classes: Mapping[Side, Numbers],
    begins: NDArray[np.int64],
    needs: Mapping[Side, SideNeeds],
    lane: Numbers,
) -> bool:
    """Whether all that a core needs comes along the lane of its group.

    Args:
        classes: Of the words in the order of the streams.
        begins: Where the stream of each lane begins.
        needs: Of the consumer.
        lane: Of each core, [height, width].
    """
    rows, columns = needs["rows"], needs["columns"]
    shape = len(rows.owner), len(columns.owner)
    lanes, alike = lane_of_classes(classes["rows"], classes["columns"], begins, *shape)
    return bool(
        alike
        and needs_are_in_streams(
            lanes, lane, rows.line_starts, rows.line_classes, columns.line_starts, columns.line_classes
        )
    )


def group_needs(needs: Mapping[Side, SideNeeds], lane: Numbers, lanes: int) -> NDArray[np.int64]:
    """Different elements that the cores of each group need, [lanes]."""
    rows, columns = needs["rows"], needs["columns"]
    pairs = rows.classes.astype(np.int64) * len(columns.owner) + columns.classes
    elements = np.bincount(pairs, minlength=len(rows.owner) * len(columns.owner))
    order = np.argsort(lane.reshape(-1), kind="stable")
    return count_group_needs(
        elements.reshape(len(rows.owner), -1),
        lane.reshape(-1)[order],
        order,
        lanes,
        rows.line_starts,
        rows.line_classes,
        columns.line_starts,
        columns.line_classes,
    )
