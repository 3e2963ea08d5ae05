"""Blocks in a finer view: the checker compares what kernels with views of their own hold and need."""

from __future__ import annotations

import numpy as np
import pytest

from wsec.compiler.plan_checker.views import bounds_in, finer_view
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, block_bounds, cut, whole


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, 4096), (32, 2, 64), (32, 2, 64)),
        ((8, 4, 128), (32, 2, 64), (8, 4, 2, 64)),
        ((6, 4), (4, 6), None),
        ((6, 4), (6, 5), None),
        ((1,), (1, 1), ()),
    ],
)
def test_the_finer_view_splits_dimensions_of_both(
    first: tuple[int, ...], second: tuple[int, ...], expected: tuple[int, ...] | None
) -> None:
    """The coarsest such view, without dimensions of one element; none where an element would be cut."""
    assert finer_view(first, second) == expected


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 6, 8, 12, 24])
def test_blocks_in_a_finer_view_have_the_elements_of_the_block(parts: int) -> None:
    """Every core's box has exactly the elements of its run of 24; where some run is no box, nothing is said."""
    view = (3, 2, 4)
    mesh = Mesh((MeshAxis("n", parts, "columns"),))
    sharding = Sharding((whole(1), cut(24, parts, ("n",))))
    found = bounds_in(sharding, mesh, view)
    low, high = (ends.reshape(-1) for ends in block_bounds(sharding, mesh)[1])
    boxes = all(_is_box(int(first), int(last), view) for first, last in zip(low, high, strict=True))
    assert (found is not None) == boxes
    for core in range(parts if found is not None else 0):
        box = np.zeros(view, np.bool_)
        box[
            tuple(slice(*(np.broadcast_to(end, (1, parts))[0, core] for end in ends)) for ends in found or ())
        ] = True
        assert np.flatnonzero(box).tolist() == list(range(int(low[core]), int(high[core])))


def _is_box(first: int, last: int, view: tuple[int, ...]) -> bool:
    at = np.array(np.unravel_index(np.arange(first, last), view))
    return bool(np.prod([len(np.unique(each)) for each in at]) == last - first)
