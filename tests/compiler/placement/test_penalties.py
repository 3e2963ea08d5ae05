"""What annealing counts of demands agrees with what they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.placement.annealing.penalties import demand_arrays, penalty
from wsec.compiler.placement.demands import Demands, slide_to_edges
from wsec.compiler.placement.problem import Rectangle

if TYPE_CHECKING:
    from wsec.compiler.placement import Side

GRID = Rectangle(0, 0, 12, 9)


@st.composite
def boxes(draw: st.DrawFn) -> Rectangle:
    """Rectangles of the grid."""
    x, y = draw(st.integers(0, 11)), draw(st.integers(0, 8))
    return Rectangle(x, y, draw(st.integers(1, 12 - x)), draw(st.integers(1, 9 - y)))


sides = st.lists(st.sampled_from(["left", "right", "top", "bottom"]), min_size=1, unique=True).map(tuple)


@given(boxes(), boxes(), boxes(), sides)
def test_nothing_is_counted_where_all_is_kept_and_only_there(
    one: Rectangle, other: Rectangle, area: Rectangle, edge: tuple[Side, ...]
) -> None:
    """For areas and edges of any box, and for pairs that do not overlap; the second is a fixed rectangle."""
    placed = np.array([(box.x, box.y, box.width, box.height) for box in (one, other)], dtype=np.int64)
    demands = [Demands(GRID, areas=((0, area),)), Demands(GRID, edges=((0, edge),))]
    if not one.overlaps(other):
        demands.append(Demands(GRID, (other,), pairs=((0, 1),)))
    for each in demands:
        counted = penalty(demand_arrays(each, GRID), placed, GRID.width, GRID.height)
        assert (counted == 0) == each.kept([one])
        assert counted >= 0


def test_distances_are_in_columns_and_rows() -> None:
    """Two columns and a row outside of the area; three rows from the bottom; two apart and not beside each other."""
    placed = np.array([(0, 3, 4, 3), (6, 6, 2, 2)], dtype=np.int64)
    demands = Demands(
        GRID, areas=((0, Rectangle(2, 4, 5, 5)),), edges=((0, ("bottom", "right")),), pairs=((0, 1),)
    )
    arrays = demand_arrays(demands, GRID)
    assert penalty(arrays, placed, 12, 9) == (2 + 1) + 3 + (2 + 1)


def test_sides_that_the_space_does_not_reach_do_not_count() -> None:
    """A floorplan beside reserved columns cannot touch the left of the grid; coordinates are its own."""
    demands = Demands(GRID, areas=((0, Rectangle(4, 0, 4, 4)),), edges=((0, ("left", "top")),))
    arrays = demand_arrays(demands, Rectangle(3, 0, 9, 9))
    assert arrays.areas.tolist() == [[0, 1, 0, 5, 4]]
    assert arrays.edges.tolist() == [[0, 0, 1, 0, 0]]


def test_kernels_slide_to_an_edge_that_is_free() -> None:
    """To the right past nobody; not to the bottom through a neighbour, and not out of the space."""
    right = Demands(GRID, edges=((0, ("right",)),))
    assert slide_to_edges(right, [Rectangle(2, 2, 3, 3)], GRID) == [Rectangle(9, 2, 3, 3)]
    assert slide_to_edges(right, [Rectangle(2, 2, 3, 3)], Rectangle(0, 0, 11, 9)) == [Rectangle(2, 2, 3, 3)]
    placed = [Rectangle(2, 2, 3, 3), Rectangle(0, 6, 12, 3)]
    assert slide_to_edges(Demands(GRID, edges=((0, ("bottom",)),)), placed, GRID) == placed
