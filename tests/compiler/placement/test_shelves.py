"""Kernels on shelves: legal, side by side with equal rows, and as fast as the heights that they have in common allow."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.placement import Net, Pin, PlacementKernel, PlacementProblem, Rectangle, ShapeOptions
from wsec.compiler.placement.legality import explain
from wsec.compiler.placement.problem import rectangles
from wsec.compiler.placement.shelves import Loads, place_on_shelves


def _shapes(work: int, sides: range) -> ShapeOptions:
    widths, heights = (side.ravel() for side in np.meshgrid(sides, sides))
    return ShapeOptions(widths, heights, -(-work // (widths * heights)))


def _chain(works: list[int], words: int, width: int, height: int) -> tuple[PlacementProblem, Loads]:
    kernels = tuple(
        PlacementKernel(f"k{at}", _shapes(work, range(1, max(width, height) + 1)))
        for at, work in enumerate(works)
    )
    nets = tuple(Net(at, at + 1, float(words)) for at in range(len(works) - 1))
    count = len(works)
    loads = Loads([words] * count, [words] * count, [kernel.shapes.widths for kernel in kernels])
    return PlacementProblem(width=width, height=height, kernels=kernels, nets=nets), loads


@settings(max_examples=40)
@given(
    st.lists(st.integers(50, 4000), min_size=1, max_size=9),
    st.integers(1, 80),
    st.integers(8, 40),
    st.integers(8, 40),
)
def test_every_placement_is_legal_and_ordered(works: list[int], words: int, width: int, height: int) -> None:
    """No overlap, nothing outside, the interval that it says; kernels in reading order."""
    problem, loads = _chain(works, words, width, height)
    placement = place_on_shelves(problem, loads)
    assert placement is not None
    assert explain(problem, placement) == []
    places = [(each.y, each.x) for each in rectangles(problem, placement)]
    assert places == sorted(places)


def test_kernels_with_many_words_fill_the_height_of_their_shelf() -> None:
    """Lanes between neighbours then run straight, one from each row."""
    problem, loads = _chain([900, 700, 1100, 800, 1000, 600], 4_000, 30, 30)
    placement = place_on_shelves(problem, loads)
    assert placement is not None
    boxes = rectangles(problem, placement)
    for one, other in pairwise(boxes):
        if one.y == other.y:
            assert one.height == other.height


def test_kernels_without_words_may_be_lower() -> None:
    """Two small kernels of few words beside a high one take no more columns than their work needs."""
    high, low = _shapes(400, range(1, 21)), ShapeOptions(np.array([2]), np.array([3]), np.array([5]))
    kernels = (PlacementKernel("high", high), PlacementKernel("low", low), PlacementKernel("too", low))
    problem = PlacementProblem(width=20, height=20, kernels=kernels)
    placement = place_on_shelves(
        problem, Loads([0] * 3, [0] * 3, [kernel.shapes.widths for kernel in kernels])
    )
    assert placement is not None
    assert placement.interval == 5


def test_words_between_shelves_of_different_height_bound_it() -> None:
    """Lanes that turn into a higher rectangle reach its rows over its columns: few columns bear few words."""
    first, second = (ShapeOptions(np.array([2]), np.array([height]), np.array([100])) for height in (10, 5))
    kernels = PlacementKernel("first", first), PlacementKernel("second", second)

    def placed(words: float) -> bool:
        problem = PlacementProblem(width=12, height=20, kernels=kernels, nets=(Net(0, 1, words),))
        loads = Loads([0, int(words)], [int(words), 0], [first.widths, second.widths])
        return place_on_shelves(problem, loads) is not None

    assert placed(100)
    assert not placed(200)


def test_it_leaves_constraints_to_others() -> None:
    """Where a kernel must stand somewhere, shelves are of no use."""
    problem, loads = _chain([100, 100], 10, 20, 20)
    pinned = PlacementProblem(20, 20, problem.kernels, constraints=(Pin("k0", Rectangle(5, 5, 10, 1)),))
    assert place_on_shelves(pinned, loads) is None
