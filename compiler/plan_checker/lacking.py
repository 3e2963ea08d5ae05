"""What cores lack of a tensor: elements that they need and do not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsec.compiler.plan_checker.views import bounds_in, finer_view

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle
    from wsec.compiler.plan_checker.views import Bounds
    from wsec.compiler.sharding import Mesh, Sharding

    Integers = NDArray[np.int64]
    Placed = tuple[Sharding, Mesh, Rectangle]


def lacking(held: Placed, needed: Placed) -> int | None:
    """Elements that the core lacks that lacks most; None, which is unknown, where no view shows the blocks of both as boxes."""
    view = finer_view(held[0].shape, needed[0].shape)
    have = None if view is None else bounds_in(*held[:2], view)
    need = None if view is None else bounds_in(*needed[:2], view)
    return None if have is None or need is None else _most_lacking((have, held[2]), (need, needed[2]))


def lacking_on_lines(held: Placed, needed: Placed, along: Literal["rows", "columns"]) -> int | None:
    """As `lacking`, where a core may have all that lies between the ends of what the cores of its row, or column, hold."""
    view = finer_view(held[0].shape, needed[0].shape)
    have = None if view is None else bounds_in(*held[:2], view)
    need = None if view is None else bounds_in(*needed[:2], view)
    if have is None or need is None:
        return None
    here, there, axis = held[2], needed[2], 1 if along == "rows" else 0
    some = np.ones((here.height, here.width), dtype=bool)
    for low, high in have:
        some &= low < high
    ends = [
        (
            np.where(some, low, np.iinfo(np.int64).max).min(axis=axis, keepdims=True),
            np.where(some, high, 0).max(axis=axis, keepdims=True),
        )
        for low, high in have
    ]
    line = (
        replace(here, x=there.x, width=there.width)
        if along == "rows"
        else replace(here, y=there.y, height=there.height)
    )
    return _most_lacking((ends, line), (need, there))


def alike(one: Sharding, other: Sharding) -> bool:
    """Whether both are shardings of views of one tensor: there is a finer view of both."""
    return finer_view(one.shape, other.shape) is not None


def _most_lacking(held: tuple[list[Bounds], Rectangle], needed: tuple[list[Bounds], Rectangle]) -> int:
    here, there = held[1], needed[1]
    wanted = np.ones((1, 1), np.int64)
    shared = np.ones((1, 1), np.int64)
    for ends, (least, most) in zip(held[0], needed[0], strict=True):
        low, high = (_placed(values, here, there) for values in ends)
        wanted = wanted * np.maximum(most - least, 0)
        shared = shared * np.maximum(np.minimum(high, most) - np.maximum(low, least), 0)
    return int((wanted - shared).max(initial=0))


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
