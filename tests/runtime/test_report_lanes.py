"""Lanes of routes as legs: against a walk over every core of every lane."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.plan import Rectangle, Route
from wsec.runtime.report.lanes import colours_of_lanes, corners_of, middle_path, sum_over_lanes

COLUMNS, ROWS = 20, 16


def strips(lanes: int, *, high: bool) -> st.SearchStrategy[Rectangle]:
    """Strips of so many cores, one column wide or one row high."""
    width, height = (1, lanes) if high else (lanes, 1)
    return st.builds(
        Rectangle,
        st.integers(0, COLUMNS - width),
        st.integers(0, ROWS - height),
        st.just(width),
        st.just(height),
    )


@st.composite
def routes(draw: st.DrawFn) -> Route:
    """Any route inside the region; its lanes need not be nested."""
    lanes = draw(st.integers(1, 5))
    vertical = draw(st.booleans())
    turns_twice = draw(st.booleans())
    source_high = draw(st.booleans())
    return Route(
        colour=draw(st.integers(0, 3)),
        source=draw(strips(lanes, high=source_high)),
        target=draw(strips(lanes, high=draw(st.booleans()))),
        mirrored=draw(st.booleans()),
        vertical_first=vertical,
        via=draw(st.integers(0, (ROWS if vertical else COLUMNS) - lanes)) if turns_twice else None,
        via_mirrored=draw(st.booleans()),
    )


def walk(route: Route, lane: int) -> list[tuple[int, int]]:
    """The cores of a lane in order, as docs/plan.md describes it."""
    last = route.lanes - 1

    def core(strip: Rectangle, number: int) -> tuple[int, int]:
        return (strip.x + number, strip.y) if strip.width > 1 else (strip.x, strip.y + number)

    x, y = core(route.source, lane)
    to_x, to_y = core(route.target, last - lane if route.mirrored else lane)
    if route.via is None:
        stops = [(x, to_y) if route.vertical_first else (to_x, y), (to_x, to_y)]
    else:
        middle = route.via + (last - lane if route.via_mirrored else lane)
        stops = (
            [(x, middle), (to_x, middle), (to_x, to_y)]
            if route.vertical_first
            else [(middle, y), (middle, to_y), (to_x, to_y)]
        )
    cores = [(x, y)]
    for stop in stops:
        while cores[-1] != stop:
            here_x, here_y = cores[-1]
            cores.append((here_x + int(np.sign(stop[0] - here_x)), here_y + int(np.sign(stop[1] - here_y))))
    return cores


@given(st.lists(routes(), max_size=4), st.integers(1, 1000))
def test_amounts_reach_every_core_of_a_lane(given_routes: list[Route], amount: int) -> None:
    """Each time a lane passes a core its amount counts there, at both ends and at corners once."""
    expected: Counter[tuple[int, int]] = Counter()
    for number, route in enumerate(given_routes):
        for lane in range(route.lanes):
            for core in walk(route, lane):
                expected[core] += amount + number
    amounts = [float(amount + number) for number in range(len(given_routes))]
    found = sum_over_lanes(given_routes, amounts, (ROWS, COLUMNS))
    wanted = np.zeros((ROWS, COLUMNS))
    for (x, y), total in expected.items():
        wanted[y, x] = total
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@given(st.lists(routes(), max_size=4))
def test_colours_count_once_on_a_core(given_routes: list[Route]) -> None:
    """However many lanes of a colour pass."""
    held: dict[tuple[int, int], set[int]] = {}
    for route in given_routes:
        for lane in range(route.lanes):
            for core in walk(route, lane):
                held.setdefault(core, set()).add(route.colour)
    found = colours_of_lanes(given_routes, (ROWS, COLUMNS))
    wanted = [[len(held.get((x, y), ())) for x in range(COLUMNS)] for y in range(ROWS)]
    assert found.tolist() == wanted


@given(routes())
def test_the_path_that_is_drawn_is_that_of_a_lane(route: Route) -> None:
    """From its first core to its last, with its turns between."""
    path = middle_path(route)
    points = list(zip(path[::2], path[1::2], strict=True))
    cores = walk(route, route.lanes // 2)
    assert (points[0], points[-1]) == (cores[0], cores[-1])
    assert set(points) <= set(cores)
    assert corners_of(route).x.shape[1] == route.lanes
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(points))
