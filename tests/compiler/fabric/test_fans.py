"""Fans: trees of all lanes cover a rectangle, share no core, and are counted as they grow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.fabric.fans import PORTS, Fan, gather_fan, row_bounds, spread_fan
from wsec.compiler.fabric.holdings import held_elements, held_words
from wsec.compiler.fabric.strips import divide, prefix_sums, source_strips, target_strips
from wsec.compiler.plan import KernelOutput, Rectangle, Route
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, cut, whole

_STEPS = {"N": (-1, 0), "E": (0, 1), "S": (1, 0), "W": (0, -1)}
Cell = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """Routes that leave a rectangle of `words`, [height, width], which lies in the middle of a region."""

    routes: tuple[Route, ...]
    rectangle: Rectangle
    words: np.ndarray[tuple[int, int], np.dtype[np.int64]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """One to three routes that leave some sides of a rectangle; their strips share no core."""
    width, height = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    rectangle = Rectangle(10, 10, width, height)
    taken: set[Cell] = set()
    routes: list[Route] = []
    for _ in range(draw(st.integers(1, 3))):
        side = draw(st.sampled_from(PORTS))
        along = height if side in "EW" else width
        lanes = draw(st.integers(1, along))
        first = 10 + draw(st.integers(0, along - lanes))
        route = _leaving(side, rectangle, first, lanes)
        cells = set(_cells(route.source))
        if not cells & taken:
            taken |= cells
            routes.append(route)
    words = draw(st.lists(st.sampled_from([0, 1, 7]), min_size=width * height, max_size=width * height))
    return Case(tuple(routes), rectangle, np.array(words, np.int64).reshape(height, width))


def _leaving(side: str, rectangle: Rectangle, first: int, lanes: int) -> Route:
    """Lanes straight out of a side, two hops long."""
    right, bottom = rectangle.x + rectangle.width - 1, rectangle.y + rectangle.height - 1
    strips = {
        "W": (Rectangle(rectangle.x, first, 1, lanes), Rectangle(rectangle.x - 2, first, 1, lanes)),
        "E": (Rectangle(right, first, 1, lanes), Rectangle(right + 2, first, 1, lanes)),
        "N": (Rectangle(first, rectangle.y, lanes, 1), Rectangle(first, rectangle.y - 2, lanes, 1)),
        "S": (Rectangle(first, bottom, lanes, 1), Rectangle(first, bottom + 2, lanes, 1)),
    }
    return Route(0, *strips[side])


def _cells(strip: Rectangle) -> list[Cell]:
    return [
        (y, x) for y in range(strip.y, strip.y + strip.height) for x in range(strip.x, strip.x + strip.width)
    ]


def _roots(routes: tuple[Route, ...]) -> list[Cell]:
    return [(y - 10, x - 10) for route in routes for y, x in _cells(route.source)]


def _children(fan: Fan, roots: list[Cell]) -> dict[Cell, list[Cell]]:
    """The tree by following every core's parent, one core after the other."""
    found: dict[Cell, list[Cell]] = {}
    height, width = fan.lane.shape
    for y in range(height):
        for x in range(width):
            if (y, x) not in roots:
                down, right = _STEPS[PORTS[fan.parent[y, x]]]
                parent = y + down, x + right
                assert 0 <= parent[0] < height
                assert 0 <= parent[1] < width
                found.setdefault(parent, []).append((y, x))
    return found


def _walk(cell: Cell, children: dict[Cell, list[Cell]], fan: Fan) -> list[Cell]:
    """The cores of a subtree, own first, then subtree by subtree in the order of their ranks."""
    cells = [cell]
    for child in sorted(children.get(cell, []), key=lambda each: int(fan.order[each])):
        cells += _walk(child, children, fan)
    return cells


@given(cases())
def test_trees_cover_the_rectangle_share_no_core_and_have_their_roots_where_lanes_begin(case: Case) -> None:
    """Each core is in the tree of one lane, at the rank at which a walk over the tree comes to it."""
    fan = gather_fan(case.routes, case.rectangle, case.words)
    roots = _roots(case.routes)
    children = _children(fan, roots)
    seen: list[Cell] = []
    for lane, root in enumerate(roots):
        cells = _walk(root, children, fan)
        seen += cells
        for rank, cell in enumerate(cells):
            assert fan.lane[cell] == lane
            assert fan.order[cell] == rank
            assert fan.end[cell] == rank + len(_walk(cell, children, fan))
    assert sorted(seen) == [tuple(cell) for cell in np.argwhere(fan.lane >= 0).tolist()]
    assert len(seen) == case.words.size


@given(cases(), st.data())
def test_idle_lanes_leave_their_cores_to_the_others(case: Case, data: st.DataObject) -> None:
    """Whichever lanes have words: their trees cover the rectangle, and hops are counted along them."""
    lanes = sum(route.lanes for route in case.routes)
    drawn = data.draw(st.lists(st.booleans(), min_size=lanes, max_size=lanes).filter(any))
    entering = tuple(replace(route, source=route.target, target=route.source) for route in case.routes)
    fan = spread_fan(entering, case.rectangle, np.array(drawn))
    roots = _roots(case.routes)
    children = _children(fan, [root for root, active in zip(roots, drawn, strict=True) if active])
    seen = 0
    for lane, root in enumerate(roots):
        if drawn[lane]:
            cells = _walk(root, children, fan)
            seen += len(cells)
            for rank, cell in enumerate(cells):
                assert (fan.lane[cell], fan.order[cell]) == (lane, rank)
                assert fan.end[cell] == rank + len(_walk(cell, children, fan))
                assert all(fan.depth[child] == fan.depth[cell] + 1 for child in children.get(cell, []))
            assert fan.depth[root] == 0
    assert seen == case.words.size


@given(cases())
def test_a_tree_has_no_branch_that_a_switch_has_no_position_for(case: Case) -> None:
    """A router has its own words and at most three neighbours' to let pass, one after the other."""
    fan = gather_fan(case.routes, case.rectangle, case.words)
    assert all(len(cells) <= 3 for cells in _children(fan, _roots(case.routes)).values())


@given(cases())
def test_parts_of_several_routes_are_disjoint_and_have_their_strip_on_their_boundary(case: Case) -> None:
    """Straight cuts divide the rectangle, whatever the strips."""
    strips = source_strips(case.routes, case.rectangle)
    parts = divide(strips, prefix_sums(case.words))
    painted = np.zeros_like(case.words)
    for strip, part in zip(strips, parts, strict=True):
        painted[part.top : part.bottom, part.left : part.right] += 1
        edge = {"N": strip.y == part.top, "S": strip.stop_y == part.bottom}
        edge |= {"W": strip.x == part.left, "E": strip.stop_x == part.right}
        assert edge[strip.side]
        assert part.left <= strip.x < strip.stop_x <= part.right
        assert part.top <= strip.y < strip.stop_y <= part.bottom
    assert (painted == 1).all()


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(1, 8),
    st.data(),
)
def test_ranges_of_rows_rise_and_leave_no_more_columns_beside_the_lanes_than_there_are(
    weights: list[int], width: int, data: st.DataObject
) -> None:
    """Every lane has a row, and the columns at which lanes turn lie in the rectangle."""
    lanes = data.draw(st.integers(1, len(weights)))
    first = data.draw(st.integers(0, len(weights) - lanes))
    bounds = row_bounds(np.array(weights, np.int64), first + np.arange(lanes), width)
    assert bounds[0] == 0
    assert bounds[-1] == len(weights)
    assert (np.diff(bounds) >= 1).all()
    for lane in range(lanes):
        if bounds[lane] < first + lane:
            assert lane < width
        if bounds[lane + 1] > first + lane + 1:
            assert lanes - 1 - lane < width


def test_lanes_on_a_short_side_share_the_rows_behind_it() -> None:
    """Two lanes in the west of 4 x 6 equal cores have twelve cores each."""
    routes = (Route(0, Rectangle(10, 12, 1, 2), Rectangle(8, 12, 1, 2)),)
    fan = gather_fan(routes, Rectangle(10, 10, 4, 6), np.ones((6, 4), np.int64))
    assert np.bincount(fan.lane.ravel()).tolist() == [12, 12]


def test_words_count_and_not_cores_where_they_lie_unevenly() -> None:
    """Two rows have all words: a lane each, but for the core of the second that lies on the first lane's way."""
    words = np.zeros((6, 4), np.int64)
    words[0] = 10
    words[1] = 10
    routes = (Route(0, Rectangle(10, 12, 1, 2), Rectangle(8, 12, 1, 2)),)
    fan = gather_fan(routes, Rectangle(10, 10, 4, 6), words)
    assert [int(words[fan.lane == lane].sum()) for lane in (0, 1)] == [50, 30]


def test_numbers_of_mirrored_lanes_fall_where_they_end() -> None:
    """Lane 0 of a mirrored route ends at the highest column."""
    route = Route(0, Rectangle(0, 0, 1, 2), Rectangle(10, 10, 2, 1), mirrored=True)
    (strip,) = target_strips((route,), Rectangle(10, 10, 2, 3))
    assert strip.side == "N"
    assert list(strip.numbers) == [1, 0]
    fan = spread_fan((route,), Rectangle(10, 10, 2, 3))
    assert fan.lane.tolist() == [[1, 0]] * 3


@pytest.mark.parametrize(
    ("route", "sides"),
    [
        (Route(0, Rectangle(4, 4, 1, 1), Rectangle(4, 9, 1, 1)), ("S", "N")),
        (Route(0, Rectangle(4, 4, 1, 1), Rectangle(9, 9, 1, 1), vertical_first=True), ("S", "W")),
        (Route(0, Rectangle(4, 4, 1, 1), Rectangle(4, 9, 1, 1), via=2), ("W", "W")),
        (Route(0, Rectangle(4, 4, 1, 1), Rectangle(4, 4, 1, 1)), ("E", "W")),
    ],
    ids=["straight", "one turn", "two turns", "at the edge"],
)
def test_sides_follow_from_the_first_and_last_move(route: Route, sides: tuple[str, str]) -> None:
    """A lane of one core at the edge comes from the west, and leaves to the east."""
    one = Rectangle(4, 4, 1, 1)
    assert source_strips((route,), one)[0].side == sides[0]
    assert target_strips((route,), one)[0].side == sides[1]


def test_cores_send_what_lies_inside_the_extents_and_copies_send_nothing() -> None:
    """Five elements on two rows of three; columns hold copies, of which the first sends."""
    mesh = Mesh((MeshAxis("a", 2, "rows"), MeshAxis("b", 2, "columns")))
    sharding = Sharding((cut(5, 2, ("a",)), whole(3)))
    assert held_elements(sharding, mesh).tolist() == [[9, 0], [6, 0]]
    halves = KernelOutput("y", "float16", sharding)
    assert held_words(halves, mesh, 4).tolist() == [[5, 0], [3, 0]]
    doubles = KernelOutput("y", "int64", sharding)
    assert held_words(doubles, mesh, 4).tolist() == [[18, 0], [12, 0]]
