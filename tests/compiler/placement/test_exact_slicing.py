"""The best slicing floorplan of all, and wheels: equal to brute force, and legal."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.placement import (
    Limits,
    PlacementKernel,
    PlacementProblem,
    Rectangle,
    ShapeOptions,
    place,
)
from wsec.compiler.placement.annealing import topologies
from wsec.compiler.placement.candidate import make_candidate
from wsec.compiler.placement.legality import explain
from wsec.compiler.placement.preparation import prepare
from wsec.compiler.placement.problem import rectangles
from wsec.compiler.placement.slicing import exact as exact_slicing
from wsec.compiler.placement.slicing.subsets import NONE, WIDTH_TO

SIDE = 14
Boxes = tuple[tuple[int, int], ...]


def _problem(kinds: list[Boxes], kernels: list[int], width: int, height: int) -> PlacementProblem:
    """Kernels of some kinds, whose shapes take the longer the earlier they are listed."""
    shapes = [
        ShapeOptions(
            np.array([w for w, _ in boxes]), np.array([h for _, h in boxes]), np.arange(len(boxes), 0, -1)
        )
        for boxes in kinds
    ]
    placed = tuple(PlacementKernel(f"k{at}", shapes[kind]) for at, kind in enumerate(kernels))
    return PlacementProblem(width, height, placed)


def _least_heights(kinds: list[Boxes], kernels: tuple[int, ...], width: int) -> list[int]:
    """The least height within each width over all slicing arrangements, by trying every way to split the kernels."""

    @cache
    def boxes_of(chosen: tuple[int, ...]) -> frozenset[tuple[int, int]]:
        if len(chosen) == 1:
            return frozenset(kinds[kernels[chosen[0]]])
        found = set()
        for size in range(1, len(chosen)):
            for one in combinations(chosen, size):
                two = tuple(each for each in chosen if each not in one)
                for a, b in boxes_of(one):
                    for c, d in boxes_of(two):
                        found |= {(a + c, max(b, d)), (max(a, c), b + d)}
        return frozenset(found)

    boxes = boxes_of(tuple(range(len(kernels))))
    return [min((h for w, h in boxes if w <= at), default=NONE) for at in range(width + 1)]


KINDS = st.lists(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3).map(tuple),
    min_size=1,
    max_size=3,
)


@given(KINDS, st.lists(st.integers(0, 2), min_size=2, max_size=5))
@settings(deadline=None, max_examples=60)
def test_curves_of_subsets_equal_brute_force(kinds: list[Boxes], kernels: list[int]) -> None:
    """The curve of all kernels is that of the best of all slicing arrangements; points that waste too much may lack."""
    kernels = [kind % len(kinds) for kind in kernels]
    problem = _problem(kinds, kernels, 4 * SIDE, 4 * SIDE)
    instance = prepare(problem)
    groups = exact_slicing.kinds_of(instance)
    assert groups is not None
    subsets = exact_slicing.subset_curves(instance, groups, 3, Limits())
    expected = _least_heights(kinds, tuple(kernels), 4 * SIDE)
    assert subsets.height[-1].tolist() == [min(each, NONE) for each in expected]


@given(KINDS, st.lists(st.integers(0, 2), min_size=2, max_size=5))
@settings(deadline=None, max_examples=60)
def test_waste_prunes_nothing_that_fits(kinds: list[Boxes], kernels: list[int]) -> None:
    """On a small grid an arrangement is found if and only if brute force has one that fits."""
    kernels = [kind % len(kinds) for kind in kernels]
    area = sum(min(w * h for w, h in kinds[kind]) for kind in kernels)
    width, height = 6, -(-area // 6)
    if height < 5:
        return
    instance = prepare(_problem(kinds, kernels, width, height))
    groups = exact_slicing.kinds_of(instance)
    assert groups is not None
    subsets = exact_slicing.subset_curves(instance, groups, 3, Limits())
    fits = _least_heights(kinds, tuple(kernels), width)[width] <= height
    assert bool(subsets.window[-1, WIDTH_TO] > 0) == fits


@st.composite
def wheels_of_strips(draw: st.DrawFn) -> list[Rectangle]:
    """Five rectangles in a wheel on the 14 x 14 grid, some cut in two."""
    left, right = sorted(draw(st.lists(st.integers(1, SIDE - 1), min_size=2, max_size=2, unique=True)))
    upper, lower = sorted(draw(st.lists(st.integers(1, SIDE - 1), min_size=2, max_size=2, unique=True)))
    parts = [
        Rectangle(0, 0, right, upper),
        Rectangle(right, 0, SIDE - right, lower),
        Rectangle(left, lower, SIDE - left, SIDE - lower),
        Rectangle(0, upper, left, SIDE - upper),
        Rectangle(left, upper, right - left, lower - upper),
    ]
    boxes = []
    for part in parts:
        at = draw(st.integers(0, part.width - 1))
        boxes += [Rectangle(part.x, part.y, at, part.height)] if at else []
        boxes.append(Rectangle(part.x + at, part.y, part.width - at, part.height))
    return [Rectangle(SIDE - box.right, box.y, box.width, box.height) for box in boxes]


@given(wheels_of_strips())
@settings(deadline=None, max_examples=40)
def test_a_wheel_that_fills_the_grid_is_found(boxes: list[Rectangle]) -> None:
    """Rigid parts of a wheel come together again, where something slower was known; the floorplan is legal."""
    shapes = [ShapeOptions(np.array([box.width]), np.array([box.height]), np.array([1])) for box in boxes]
    problem = PlacementProblem(
        SIDE, SIDE, tuple(PlacementKernel(f"k{at}", each) for at, each in enumerate(shapes))
    )
    instance = prepare(problem)
    kinds = exact_slicing.kinds_of(instance)
    assert kinds is not None
    start = replace(make_candidate(instance, [0] * len(boxes), boxes, "test"), interval=9)
    *_, found = exact_slicing.search(instance, kinds, start, Limits())
    assert found.interval == 1
    assert found.method in {"exact slicing", "wheel"}
    cores = np.zeros((SIDE, SIDE), dtype=np.int64)
    for box in found.placed:
        cores[box.y : box.bottom, box.x : box.right] += 1
    assert (cores == 1).all()


def _bench(work: int) -> ShapeOptions:
    widths, heights = (side.ravel() for side in np.meshgrid(np.arange(2, 30), np.arange(2, 30)))
    return ShapeOptions(widths, heights, -(-work // (widths * heights)))


@given(
    works=st.lists(st.integers(300, 3000), min_size=1, max_size=4),
    kernels=st.integers(10, 14),
    rotatable=st.booleans(),
)
@settings(deadline=None, max_examples=8)
def test_no_slicing_search_is_faster(works: list[int], kernels: int, *, rotatable: bool) -> None:
    """What the exact search ends with is legal, stands beside a reserved strip, and annealing does not beat it."""
    shapes = [_bench(work) for work in works]
    problem = PlacementProblem(
        31,
        27,
        tuple(
            PlacementKernel(f"k{at}", shapes[at % len(shapes)], rotatable=rotatable) for at in range(kernels)
        ),
        reserved=(Rectangle(0, 0, 31, 3),),
    )
    placement = place(problem, Limits(effort=0.2))
    assert explain(problem, placement) == []
    instance = prepare(problem)
    kinds = exact_slicing.kinds_of(instance)
    assert kinds is not None
    assert exact_slicing.within(instance, kinds, placement.interval, Limits()) is not None
    start = make_candidate(
        instance,
        [
            int(np.flatnonzero((table.origin == at) & (table.turned == turned))[0])
            for table, at, turned in zip(instance.tables, placement.option, placement.turned, strict=True)
        ],
        rectangles(problem, placement),
        "test",
    )
    found = topologies.search(instance, [start], Limits(effort=0.5, seed=7))
    assert all(each.interval >= placement.interval for each in found)


def test_many_different_kernels_are_not_for_the_exact_search() -> None:
    """Thirty different kernels have too many subsets; thirty of three kinds do not."""
    few, many = ([_bench(500 + at % kinds) for at in range(kinds)] for kinds in (3, 30))
    for shapes, expected in ((few, True), (many, False)):
        kernels = tuple(PlacementKernel(f"k{at}", shapes[at % len(shapes)]) for at in range(30))
        instance = prepare(PlacementProblem(60, 60, kernels))
        assert (exact_slicing.kinds_of(instance) is not None) == expected
