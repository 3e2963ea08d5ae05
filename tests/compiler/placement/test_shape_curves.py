"""Shape curves and the filter of dominated options, against definitions spelled out option by option."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.placement import shape_curves
from wsec.compiler.placement.bounds import area_bound, least_area
from wsec.compiler.placement.problem import PlacementKernel, Rectangle, ShapeOptions
from wsec.compiler.placement.shape_curves import (
    NEVER,
    least_heights,
    least_widths,
    pareto_filter,
    shape_table,
    staircase_corners,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTIONS = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 20)), min_size=1, max_size=40
)


def _columns(options: list[tuple[int, int, int]]) -> tuple[NDArray[np.int64], ...]:
    return tuple(np.array(column, dtype=np.int64) for column in zip(*options, strict=True))


def _not_dominated(options: list[tuple[int, int, int]]) -> list[int]:
    """By the definition: no other option is at most as large in all three, the first of equals staying."""
    return [
        index
        for index, one in enumerate(options)
        if not any(
            all(theirs <= mine for theirs, mine in zip(other, one, strict=True))
            and (other != one or at < index)
            for at, other in enumerate(options)
            if at != index
        )
    ]


@given(OPTIONS)
def test_filter_keeps_exactly_the_non_dominated_options(options: list[tuple[int, int, int]]) -> None:
    """Nothing useful is lost and nothing useless stays, ties included."""
    assert pareto_filter(*_columns(options)).tolist() == _not_dominated(options)


@given(OPTIONS)
def test_filter_is_exact_where_a_table_of_cells_would_be_too_large(
    options: list[tuple[int, int, int]],
) -> None:
    """Sides far beyond any grid take another way, which must keep the same options."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shape_curves, "_DENSE_CELLS", 0)
        assert pareto_filter(*_columns(options)).tolist() == _not_dominated(options)


def test_filter_takes_sides_of_any_size() -> None:
    """Sides of 10^12 neither overflow nor ask for a table of that size."""
    huge = 10**12
    options = [(huge, 1, 5), (1, huge, 5), (huge, huge, 5), (2, huge, 4)]
    assert pareto_filter(*_columns(options)).tolist() == [0, 1, 3]


def test_filter_of_nothing_is_nothing() -> None:
    """An empty candidate list is no error."""
    empty = np.zeros(0, dtype=np.int64)
    assert pareto_filter(empty, empty, empty).tolist() == []


@given(OPTIONS, st.integers(0, 20), st.integers(1, 10), st.integers(1, 10))
def test_curves_are_the_least_sides(
    options: list[tuple[int, int, int]], time: int, width: int, height: int
) -> None:
    """Each point of a curve is the smallest side among the options that are narrow and fast enough."""
    table = shape_table(ShapeOptions(*_columns(options)), [Rectangle(0, 0, width, height)])
    fast = [(w, h) for w, h, cycles in options if cycles <= time and w <= width and h <= height]
    assert least_heights(table, time, width).tolist() == [
        min((h for w, h in fast if w <= limit), default=NEVER) for limit in range(width + 1)
    ]
    assert least_widths(table, time, height).tolist() == [
        min((w for w, h in fast if h <= limit), default=NEVER) for limit in range(height + 1)
    ]
    assert table.area_within(time) == min((w * h for w, h in fast), default=None)


@given(OPTIONS, st.integers(0, 20))
def test_corners_are_the_rectangles_without_a_smaller_one(
    options: list[tuple[int, int, int]], time: int
) -> None:
    """The corners of the staircase are the non-dominated sides of the options that are fast enough."""
    table = shape_table(ShapeOptions(*_columns(options)), [Rectangle(0, 0, 9, 9)])
    fast = {(w, h) for w, h, cycles in options if cycles <= time}
    corners = staircase_corners(table, time, 9, 9)
    assert corners == sorted(
        (w, h) for w, h in fast if not any((a, b) != (w, h) and a <= w and b <= h for a, b in fast)
    )


@given(OPTIONS, st.integers(1, 9), st.integers(1, 9))
def test_fastest_inside_a_box(options: list[tuple[int, int, int]], width: int, height: int) -> None:
    """A kernel takes the fastest option that fits its box, and of those the smallest."""
    table = shape_table(ShapeOptions(*_columns(options)), [Rectangle(0, 0, 9, 9)])
    at = table.fastest_inside(width, height)
    inside = [(cycles, w * h) for w, h, cycles in options if w <= width and h <= height]
    if at is None:
        assert not inside
    else:
        origin = int(table.origin[at])
        w, h, cycles = options[origin]
        assert (cycles, w * h) == min(inside)


@given(
    options=OPTIONS,
    fastest=st.integers(0, 20),
    later=st.integers(0, 25),
    sides=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
@pytest.mark.parametrize("rotatable", [False, True])
def test_options_of_no_use_change_no_curve(
    *, rotatable: bool, options: list[tuple[int, int, int]], fastest: int, later: int, sides: tuple[int, int]
) -> None:
    """Where no time below `fastest` matters, fewer options give the same curves at every time from there on."""
    shapes, spaces = ShapeOptions(*_columns(options)), [Rectangle(0, 0, *sides)]
    full = shape_table(shapes, spaces, rotatable=rotatable)
    table = shape_table(shapes, spaces, rotatable=rotatable, fastest=fastest)
    time = fastest + later
    assert least_heights(table, time, 9).tolist() == least_heights(full, time, 9).tolist()
    assert least_widths(table, time, 9).tolist() == least_widths(full, time, 9).tolist()
    assert table.area_within(time) == full.area_within(time)
    fast = table.count_within(fastest)
    assert len(np.unique(table.widths[:fast])) == len(np.unique(table.heights[:fast])) == fast
    for at, origin in enumerate(table.origin.tolist()):
        width, height, cycles = options[origin]
        found = (int(table.widths[at]), int(table.heights[at]))
        assert found == ((height, width) if table.turned[at] else (width, height))
        assert table.cycles[at] == cycles


@given(kinds=st.lists(OPTIONS, min_size=1, max_size=4), free_area=st.integers(1, 200))
@pytest.mark.parametrize("rotatable", [False, True])
def test_the_bound_is_the_least_time_whose_least_areas_fit(
    *, rotatable: bool, kinds: list[list[tuple[int, int, int]]], free_area: int
) -> None:
    """Against every time there is; each kernel comes twice, as one object and as another."""
    spaces = (Rectangle(0, 0, 9, 3), Rectangle(0, 0, 4, 7))
    shapes = [ShapeOptions(*_columns(options)) for options in kinds]
    kernels = [PlacementKernel(f"k{at}", each, rotatable) for at, each in enumerate([*shapes, *shapes])]
    tables = [shape_table(each, spaces, rotatable=rotatable) for each in shapes]
    enough = []
    for time in range(21):
        areas = [table.area_within(time) for table in tables]
        total = None if None in areas else 2 * sum(area for area in areas if area is not None)
        assert least_area(kernels, [spaces] * len(kernels), time) == total
        if total is not None and total <= free_area:
            enough.append(time)
    assert area_bound(kernels, [spaces] * len(kernels), free_area) == min(enough, default=None)
