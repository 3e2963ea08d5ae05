"""Which routes share a core, and the colours they get."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing.candidates import UNCOLOURED
from wsec.compiler.routing.colouring import ColouredRoutes, colour
from wsec.compiler.routing.footprints import Footprints


def straight(x: int, y: int, length: int, lanes: int) -> Route:
    """Lanes along rows y, y + 1 ... from column x."""
    return Route(0, Rectangle(x, y, 1, lanes), Rectangle(x + length - 1, y, 1, lanes))


def neighbours_of(
    count: int, edges: list[tuple[int, int]]
) -> list[np.ndarray[tuple[int], np.dtype[np.intp]]]:
    """Neighbour lists of an undirected graph."""
    lists: list[list[int]] = [[] for _ in range(count)]
    for a, b in edges:
        lists[a].append(b)
        lists[b].append(a)
    return [np.array(sorted(others), np.intp) for others in lists]


def test_a_bent_route_touches_what_lies_under_either_leg() -> None:
    """The footprint is an L: a route in the empty quarter of its bounding box is no conflict."""
    bent = Route(0, Rectangle(0, 0, 1, 2), Rectangle(6, 8, 2, 1), mirrored=True)
    under_first_leg = straight(3, 1, 1, 3)
    under_second_leg = straight(7, 7, 3, 1)
    in_empty_quarter = straight(0, 4, 5, 3)
    footprints = Footprints([under_first_leg, under_second_leg, in_empty_quarter])
    assert footprints.touching(bent).tolist() == [0, 1]


def test_vertical_first_turns_at_the_other_corner() -> None:
    """The same strips with the other order of legs cover the other two sides of the box."""
    bent = Route(0, Rectangle(0, 0, 2, 1), Rectangle(8, 6, 1, 2), mirrored=True, vertical_first=True)
    footprints = Footprints([straight(0, 4, 2, 1), straight(4, 7, 1, 1), straight(4, 0, 3, 4)])
    assert footprints.touching(bent).tolist() == [0, 1]


def test_conflicts_are_symmetric_and_exclude_the_route_itself() -> None:
    """The colouring relies on each route naming its neighbours and not itself."""
    routes = [straight(0, 0, 5, 2), straight(4, 1, 5, 2), straight(6, 0, 2, 1), straight(0, 9, 2, 1)]
    assert [found.tolist() for found in Footprints(routes).conflicts()] == [[1], [0], [], []]


def test_many_routes_are_compared_with_those_of_other_blocks() -> None:
    """Comparison runs block by block; routes 300 apart still find each other."""
    routes = [straight(0, y % 300, 3, 1) for y in range(600)]
    conflicts = Footprints(routes).conflicts()
    assert [found.tolist() for found in conflicts] == [[(y + 300) % 600] for y in range(600)]


@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 11)).filter(lambda edge: edge[0] < edge[1]), unique=True
    )
)
def test_neighbours_never_get_the_same_colour(edges: list[tuple[int, int]]) -> None:
    """With as many colours as vertices everything is coloured, and properly."""
    colours = colour(neighbours_of(12, edges), 12).tolist()
    assert UNCOLOURED not in colours
    assert all(colours[a] != colours[b] for a, b in edges)


def test_an_even_wheel_needs_three_colours() -> None:
    """DSATUR is exact on wheels, where colouring by degree alone can go wrong."""
    rim = [(i, i % 6 + 1) for i in range(1, 7)]
    spokes = [(0, i) for i in range(1, 7)]
    assert len(set(colour(neighbours_of(7, rim + spokes), 5).tolist())) == 3


@pytest.mark.parametrize(("budget", "left_out"), [(1, 2), (2, 1), (3, 0)])
def test_over_budget_routes_stay_uncoloured_and_block_nobody(budget: int, left_out: int) -> None:
    """A triangle under a small budget: as many are coloured as there are colours."""
    colours = colour(neighbours_of(3, [(0, 1), (1, 2), (0, 2)]), budget).tolist()
    assert colours.count(UNCOLOURED) == left_out


def test_an_added_route_gets_the_lowest_free_colour_or_none() -> None:
    """Repair puts routes between coloured ones without changing those."""
    kept = ColouredRoutes([straight(0, 0, 4, 1)], budget=2)
    found = kept.coloured([straight(2, 0, 4, 1)])
    assert found is not None
    assert found[0].colour == 1
    kept.add(found)
    assert kept.coloured([straight(3, 0, 1, 1)]) is None
    free = kept.coloured([straight(5, 0, 1, 1)])
    assert free is not None
    assert free[0].colour == 0
