"""What cores lack of a tensor: elements that they need and do not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle
    from wsec.compiler.sharding import Mesh, Sharding

    Integers = NDArray[np.int64]
    Placed = tuple[Sharding, Mesh, Rectangle]


def lacking(held: Placed, needed: Placed) -> int:
    """Elements that the core lacks that lacks most, by dimensions longer than 1; 0 where the views differ."""
    return 0 if not alike(held[0], needed[0]) else _most_lacking(held, needed)


def alike(one: Sharding, other: Sharding) -> bool:
    """Whether both are shardings of one view of a tensor, but for dimensions of one element."""
    extents = [[extent for extent in sharding.shape if extent > 1] for sharding in (one, other)]
    return extents[0] == extents[1]


def _most_lacking(held: Placed, needed: Placed) -> int:
    here, there = held[2], needed[2]
    wanted = np.ones((1, 1), np.int64)
    shared = np.ones((1, 1), np.int64)
    for ends, (least, most) in zip(_bounds(*held[:2]), _bounds(*needed[:2]), strict=True):
        low, high = (_placed(values, here, there) for values in ends)
        wanted = wanted * np.maximum(most - least, 0)
        shared = shared * np.maximum(np.minimum(high, most) - np.maximum(low, least), 0)
    return int((wanted - shared).max(initial=0))


def _bounds(sharding: Sharding, mesh: Mesh) -> list[tuple[Integers, Integers]]:
    pairs = zip(sharding.dimensions, block_bounds(sharding, mesh), strict=True)
    return [ends for dimension, ends in pairs if dimension.extent > 1]


def _placed(values: Integers, here: Rectangle, there: Rectangle) -> Integers:
    """Bounds of the holder's cores where the reader's are; cores that it does not have hold nothing."""
    found = np.zeros((there.height, there.width), dtype=np.int64)
    whole = np.broadcast_to(values, (here.height, here.width))
    rows = slice(max(here.y, there.y), min(here.y + here.height, there.y + there.height))
    columns = slice(max(here.x, there.x), min(here.x + here.width, there.x + there.width))
    if rows.start < rows.stop and columns.start < columns.stop:
        found[
            rows.start - there.y : rows.stop - there.y, columns.start - there.x : columns.stop - there.x
        ] = whole[rows.start - here.y : rows.stop - here.y, columns.start - here.x : columns.stop - here.x]
    return found
